#!/usr/bin/env python3
"""kill -9 under write load, again and again: what was acknowledged is there, once, under the zxid that was told.

Several connections send pipelined creates, sequential creates, setData and multi. The server is killed in the middle,
started again, and everything that any cycle acknowledged so far is compared with what it holds: every create that was
acknowledged exists with its data and czxid; every sequential create has its data exactly once among its siblings; a
znode's data is that of its last acknowledged setData or of one that was sent after it; both halves of a multi are there
or neither is; and no two writes anywhere have the same zxid.
"""
import argparse
import random
import struct
import threading
import time

import zk

WIDTH = 16


class Writer(threading.Thread):
    """One connection of one cycle. Keeps what was sent and what was acknowledged."""

    def __init__(self, port, name, seed):
        super().__init__(daemon=True)
        self.port, self.name_, self.random = port, name, random.Random(seed)
        self.sent, self.acked = [], []
        self.problem = None

    def next(self, number):
        kind = self.random.choice(["create", "sequential", "set", "multi"])
        data = ("%s-%d" % (self.name_, number)).encode()
        base = "/w/" + self.name_
        if kind == "create":
            return kind, data, zk.CREATE2, zk.create("%s/c-%d" % (base, number), data)
        if kind == "sequential":
            return kind, data, zk.CREATE2, zk.create(base + "/s-", data, zk.SEQUENTIAL)
        if kind == "set":
            return kind, data, zk.SET_DATA, zk.set_data(base, data)
        return kind, data, zk.MULTI, zk.multi([
            (zk.CREATE, zk.create("%s/m-%d-a" % (base, number), data)),
            (zk.CREATE, zk.create("%s/m-%d-b" % (base, number), data))])

    def run(self):
        try:
            client = zk.Client(self.port)
            reply = client.ask(zk.CREATE, zk.create("/w/" + self.name_, b"none"))
            if reply.error != zk.OK:
                self.problem = "create of the base answered %d" % reply.error
                return
            self.acked.append(("base", None, reply.zxid, None))
            while True:
                batch = bytearray()
                while len(self.sent) - len(self.acked) + 1 < WIDTH:
                    kind, data, op, body = self.next(len(self.sent))
                    batch += client.encode(op, body)
                    self.sent.append((kind, data, len(self.sent)))
                if batch:
                    client.socket.sendall(batch)
                reply = client.receive()
                kind, data, number = self.sent[len(self.acked) - 1]
                if reply.error != zk.OK:
                    self.problem = "%s %d answered %d" % (kind, number, reply.error)
                    return
                path = reply.buffer().decode() if kind in ("create", "sequential") else None
                self.acked.append((kind, number, reply.zxid, path))
        except OSError:
            pass  # the kill


def stat_of(reply):
    """Data, czxid and mzxid of a getData reply."""
    data = reply.buffer()
    czxid, mzxid = struct.unpack_from(">qq", reply.body, 4 + len(data))
    return data, czxid, mzxid


def contents(client, path):
    """name -> (data, czxid, mzxid) of all children."""
    names = client.ask(zk.GET_CHILDREN, zk.read(path)).strings()
    out = {}
    for start in range(0, len(names), 200):
        some = names[start:start + 200]
        client.socket.sendall(b"".join(client.encode(zk.GET_DATA, zk.read(path + "/" + n)) for n in some))
        for name in some:
            out[name] = stat_of(client.receive())
    return out


def check(client, writer, zxids):
    """Compares one writer's promises with what is there; answers problems."""
    wrong = []
    base = "/w/" + writer.name_
    reply = client.ask(zk.GET_DATA, zk.read(base))
    if reply.error != zk.OK:
        return ["%s is gone" % base] if writer.acked else []
    data, _, mzxid = stat_of(reply)
    there = contents(client, base)
    by_data = {}
    for name, (value, czxid, _) in there.items():
        by_data.setdefault(value, []).append((name, czxid))
    last_set = None
    for kind, number, zxid, path in writer.acked:
        value = ("%s-%s" % (writer.name_, number)).encode()
        what = (writer.name_, kind, number)
        if zxids.setdefault(zxid, what) != what:
            wrong.append("zxid %x given to %s and to %s" % (zxid, zxids[zxid], what))
        if kind == "set":
            last_set = (number, zxid)
        elif kind == "multi":
            for half in "ab":
                found = there.get("m-%d-%s" % (number, half))
                if found is None or found[0] != value or found[1] != zxid:
                    wrong.append("acknowledged multi %s is %s" % (what, found))
        elif kind in ("create", "sequential"):
            found = there.get(path.rsplit("/", 1)[1])
            if found is None or found[0] != value or found[1] != zxid:
                wrong.append("acknowledged %s %s is %s" % (what, path, found))
    for kind, value, number in writer.sent:
        places = by_data.get(value, [])
        if kind in ("create", "sequential") and len(places) > 1:
            wrong.append("%s %s is there %d times" % (writer.name_, number, len(places)))
        if kind == "multi" and len(places) not in (0, 2):
            wrong.append("%s multi %s is there by half" % (writer.name_, number))
        if kind == "set" and last_set and number < last_set[0] and data == value:
            wrong.append("%s holds setData %d, but %d was acknowledged" % (base, number, last_set[0]))
    if last_set and (data == b"none" or mzxid < last_set[1]):
        wrong.append("%s has lost setData %s" % (base, last_set))
    known = {value for _, value, _ in writer.sent}
    wrong += ["%s/%s was never sent" % (base, n) for n, v in there.items() if v[0] not in known]
    # Unacknowledged writes may be there; their zxids must be nobody else's either.
    numbers = {value: (writer.name_, kind, number) for kind, value, number in writer.sent}
    for value, places in by_data.items():
        for _, czxid in places:
            if zxids.setdefault(czxid, numbers.get(value)) != numbers.get(value):
                wrong.append("zxid %x is of %s and of %s" % (czxid, zxids[czxid], numbers.get(value)))
    return wrong


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--cycles", type=int)
    a.add_argument("--quick", action="store_true")
    a.add_argument("--port", type=int, default=28100)
    a.add_argument("--connections", type=int, default=4)
    a.add_argument("--seed", type=int, default=int(time.time()))
    o = a.parse_args()
    cycles = o.cycles or (10 if o.quick else 200)
    print("kill9: %d cycles, --seed %d" % (cycles, o.seed), flush=True)
    chance = random.Random(o.seed)
    # Small numbers, so that kills also meet snapshots, new log files and purges.
    server = zk.Server(o.port, ["snapCount=2000", "preAllocSize=1024"]).start()
    zxids, writers, acked = {}, [], 0
    try:
        client = zk.Client(o.port)
        client.ask(zk.CREATE, zk.create("/w", b""))
        client.close()
        for cycle in range(cycles):
            fresh = [Writer(o.port, "c%d-%d" % (cycle, i), chance.random()) for i in range(o.connections)]
            for writer in fresh:
                writer.start()
            time.sleep(chance.uniform(0.05, 0.5))
            server.kill()
            for writer in fresh:
                writer.join(60)
                if writer.problem:
                    zk.fail("cycle %d: %s" % (cycle, writer.problem))
                acked += max(len(writer.acked) - 1, 0)
            server.start()
            writers += fresh
            # All of the last cycles, and some of everything before: a full check of all would grow with the square.
            last = cycle == cycles - 1
            some = writers if last else fresh + chance.sample(writers, min(8, len(writers)))
            client = zk.Client(o.port)
            wrong = [w for writer in some for w in check(client, writer, zxids)]
            client.close()
            if wrong:
                zk.fail("cycle %d, seed %d:\n%s\nthe directory is kept: %s" % (
                    cycle, o.seed, "\n".join(wrong[:20]), server.dir))
            if cycle % 20 == 19:
                print("kill9: %d cycles, %d writes acknowledged" % (cycle + 1, acked), flush=True)
    except BaseException:
        if server.alive():
            server.kill()
        raise
    server.remove()
    if acked < cycles * 50:
        zk.fail("only %d writes were acknowledged: the load was no load" % acked)
    print("kill9: passed: %d cycles, %d acknowledged writes, all there, none twice, %d zxids, none used twice" % (
        cycles, acked, len(zxids)))


if __name__ == "__main__":
    main()
