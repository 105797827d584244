#!/usr/bin/env python3
"""A full disk: reads go on, writes are refused with one code, deletes and closing sessions work, service returns by itself.

The data directory is a small tmpfs. A second file takes the rest of its room away. Where mounting is not allowed, the
proof says so and is skipped.
"""
import argparse
import os
import struct
import subprocess
import tempfile
import time

import zk

SIZE_MIB = 48
REFUSED = zk.SYSTEM_ERROR  # docs/compatibility.md, "A full disk"


def fill(path):
    """Takes all the room there is."""
    with open(path, "wb", buffering=0) as f:
        block = 1 << 16
        while block >= 512:
            try:
                if f.write(b"\1" * block) < block:
                    block //= 2
            except OSError:
                block //= 2


def expect(what, got, wanted):
    if got not in wanted:
        zk.fail("diskfull: %s answered %s instead of %s" % (what, got, wanted))


def run(port, mount):
    data = os.path.join(mount, "data")
    filler = os.path.join(mount, "filler")
    server = zk.Server(port, ["preAllocSize=1024", "snapCount=1000000"], data=data).start()
    try:
        client, other = zk.Client(port), zk.Client(port)
        expect("create", client.ask(zk.CREATE, zk.create("/d", b"")).error, [zk.OK])
        for i in range(100):
            expect("create", client.ask(zk.CREATE, zk.create("/d/old%d" % i, b"%d" % i)).error, [zk.OK])
        other.ask(zk.CREATE, zk.create("/d/ephemeral", b"", zk.EPHEMERAL))
        fill(filler)
        # What was reserved already may be used; then the first refusal comes, and nothing is accepted again.
        accepted, last = {}, 0
        for i in range(1000000):
            value = b"%d" % i * 1000
            error = client.ask(zk.CREATE, zk.create("/d/new%d" % i, value[:4000])).error
            if error != zk.OK:
                expect("a create on a full disk", error, [REFUSED])
                break
            accepted["new%d" % i] = value[:4000]
            fill(filler) if i % 50 == 0 else None
        else:
            zk.fail("diskfull: the disk never became full")
        last = len(accepted)
        print("diskfull: refused after %d creates" % last, flush=True)
        expect("setData", client.ask(zk.SET_DATA, zk.set_data("/d/old1", b"x" * 4000)).error, [REFUSED])
        multi = client.ask(zk.MULTI, zk.multi([(zk.CREATE, zk.create("/d/m", b"x" * 4000))]))
        # Refused in its header, or like any failed multi: an error in the place of each result.
        inside = struct.unpack_from(">i?ii", multi.body) if len(multi.body) >= 13 else None
        if multi.error != REFUSED and (inside is None or inside[0] != -1 or inside[3] != REFUSED):
            zk.fail("diskfull: multi answered %d %s" % (multi.error, inside))
        for i in range(100):
            reply = client.ask(zk.GET_DATA, zk.read("/d/old%d" % i))
            expect("getData", (reply.error, reply.buffer()), [(zk.OK, b"%d" % i)])
        for i in range(50):
            expect("delete", client.ask(zk.DELETE, zk.delete("/d/old%d" % i)).error, [zk.OK])
        expect("closeSession", other.ask(zk.CLOSE).error, [zk.OK])
        expect("the ephemeral", client.ask(zk.EXISTS, zk.read("/d/ephemeral")).error, [zk.NO_NODE])
        # Dying with a full disk, and starting on it again.
        server.kill()
        server.start()
        client = zk.Client(port)
        for name, value in list(accepted.items()):
            reply = client.ask(zk.GET_DATA, zk.read("/d/" + name))
            expect("getData of %s after a kill" % name, (reply.error, reply.buffer()), [(zk.OK, value)])
        os.unlink(filler)
        began = time.time()
        while client.ask(zk.CREATE, zk.create("/d/again", b"")).error != zk.OK:
            if time.time() - began > 10:
                zk.fail("diskfull: writes are still refused 10 s after there is room")
            time.sleep(0.05)
        back = time.time() - began
        server.kill()
        server.start()
        client = zk.Client(port)
        names = set(client.ask(zk.GET_CHILDREN, zk.read("/d")).strings())
        wanted = {"old%d" % i for i in range(50, 100)} | set(accepted) | {"again"}
        if names != wanted:
            zk.fail("diskfull: missing %s, too many %s" % (sorted(wanted - names)[:5], sorted(names - wanted)[:5]))
        client.close()
        print("diskfull: passed: refused with %d after %d creates, back %.2f s after there was room, nothing lost" % (
            REFUSED, last, back))
    finally:
        server.remove()


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--quick", action="store_true", help="the whole proof takes seconds; this is the same")
    a.add_argument("--port", type=int, default=28450)
    o = a.parse_args()
    mount = tempfile.mkdtemp(prefix="zoetrope-full-")
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=%dm" % SIZE_MIB, "tmpfs", mount], capture_output=True, text=True)
    if done.returncode != 0:
        os.rmdir(mount)
        print("diskfull: SKIPPED: mounting a tmpfs is not allowed here: " + done.stderr.strip())
        return
    try:
        run(o.port, mount)
    finally:
        subprocess.run(["umount", mount], check=True)
        os.rmdir(mount)


if __name__ == "__main__":
    main()
