#!/usr/bin/env python3
"""The flight recorder of real servers: three of them under load record what they are told; the leader is killed with -9
and started again. Every recording must replay through the same core to the same effects and checkpoints, the last
of them to the zxid that its server showed, and `--at` must show the leader just before it was killed. A recording that is cut or
damaged must replay up to there, and say so; a full disk must cost a gap and nothing else.

Then what recording costs: the same load on a server with and one without, in turn.
"""
import argparse
import datetime
import glob
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time

import zk

sys.path.insert(0, os.path.join(zk.REPO, "interop"))
sys.path.insert(0, os.path.join(zk.REPO, "interop", "ensemble"))
import load  # noqa: E402
import members  # noqa: E402
import servers  # noqa: E402

TARGET = os.environ.get("CARGO_TARGET_DIR", os.path.join(zk.REPO, "target"))
SIM = os.environ.get("ZOETROPE_SIM", os.path.join(TARGET, "release", "zoetrope-sim"))
BENCH = os.environ.get("ZOETROPE_BENCH", os.path.join(TARGET, "release", "zoetrope-bench"))
EQUAL = re.compile(r"(\d+) inputs and (\d+) turns up to (\S+); (\d+) turns and (\d+) checkpoints compared, all equal")


def journal(*args):
    done = subprocess.run([SIM, "journal", *args], capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def recordings(directory):
    return sorted(glob.glob(os.path.join(directory, "*.flight")))


def replayed(directory):
    """Replays all recordings of a directory; their number and what they held."""
    code, said = journal(directory)
    found = EQUAL.findall(said)
    files = recordings(directory)
    if code != 0 or len(found) != len(files) or "DIFFERS" in said:
        zk.fail("journal %s ended with %d:\n%s" % (directory, code, said[-3000:]))
    for inputs, turns, _, compared, _ in found:
        # The last turn of a process that was killed may have reached the file by half.
        if int(turns) - int(compared) > 1:
            zk.fail("only %s of %s turns were compared:\n%s" % (compared, turns, said[-3000:]))
    sums = [sum(int(one[part]) for one in found) for part in (0, 3, 4)]
    return len(files), sums, said


def clock(seconds):
    moment = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + "%03dZ" % (moment.microsecond // 1000)


def field(said, name):
    found = re.search(r"^\s+%s\s+(.*)$" % name, said, re.M)
    return found.group(1) if found else ""


def ensemble_run(work, port, seconds):
    """Load, a kill -9, more load. Answers what the servers showed at the end and when the leader died."""
    usual = servers.command

    def recorded(directory, kind, heap, props):
        return usual(directory, kind, heap, props) + [
            "--record", os.path.join(directory, "flight"), "--record-size", "1", "--record-files", "1000"]

    servers.command = recorded
    ensemble = members.Ensemble(work, ["zoetrope"] * 3, port=port, cfg=["snapCount=3000", "preAllocSize=1024"])
    try:
        ensemble.start()
        writers = load.Load([m.at for m in ensemble.members])
        writers.start()
        time.sleep(seconds)
        leader = ensemble.leader()
        zxid_before = zxid_of(leader)
        # Moments are told in milliseconds, cut off: one later holds all of this one.
        before = time.time() + 0.001
        time.sleep(0.05)
        leader.kill()
        ensemble.leader()
        time.sleep(seconds / 2)
        leader.start()
        time.sleep(seconds / 2)
        writers.stopping.set()
        for thread in writers.threads:
            thread.join(30)
        if writers.errors:
            zk.fail("clients were told %s" % writers.errors[:3])
        ensemble.await_serving()
        shown = {m.sid: zxid_of(m) for m in ensemble.members}
        acknowledged = sum(len(times) for times in writers.times)
    finally:
        ensemble.stop()
        servers.command = usual
    return ensemble, leader, zxid_before, before, shown, acknowledged


def zxid_of(member):
    return int(re.search(r"Zxid: 0x([0-9a-f]+)", member.word("srvr")).group(1), 16)


def replay_all(ensemble, leader, zxid_before, before, shown):
    files, inputs, turns, checkpoints = 0, 0, 0, 0
    for m in ensemble.members:
        directory = os.path.join(m.dir, "flight")
        for path in recordings(directory):
            if stat.S_IMODE(os.stat(path).st_mode) != 0o600:
                zk.fail("others may read " + path)
        count, (one, two, three), said = replayed(directory)
        files, inputs, turns, checkpoints = files + count, inputs + one, turns + two, checkpoints + three
        code, said = journal(recordings(directory)[-1], "--state")
        applied = re.search(r"applied (0x[0-9a-f]+)", field(said, "zxids"))
        if code != 0 or not applied or int(applied.group(1), 16) != shown[m.sid]:
            zk.fail("server %d showed %x, its recording ends so:\n%s" % (m.sid, shown[m.sid], said))
        if "told to stop" not in said:
            zk.fail("the recording of server %d does not say why it ends:\n%s" % (m.sid, said))
    print("flight: %d recordings replayed to equal effects: %d inputs, %d turns, %d checkpoints" % (
        files, inputs, turns, checkpoints), flush=True)
    if files < 6 or turns < 1000 or checkpoints < 20:
        zk.fail("that is too little to prove anything")

    directory = os.path.join(leader.dir, "flight")
    code, said = journal(directory, "--at", clock(before))
    applied = re.search(r"applied (0x[0-9a-f]+)", field(said, "zxids"))
    if code != 0 or not field(said, "role").startswith("leader") or int(applied.group(1), 16) < zxid_before:
        zk.fail("50 ms before it was killed, server %d led and showed %x; its recording says\n%s" % (
            leader.sid, zxid_before, said))
    print("flight: server %d, 50 ms before kill -9:\n%s" % (leader.sid, said.rstrip()), flush=True)
    code, said = journal(directory, "--at", "0x%x" % (zxid_before - 10))
    if code != 0 or "applied 0x%x," % (zxid_before - 10) not in said and "applied 0x" not in said:
        zk.fail("--at a zxid says\n" + said)
    return directory


def damage(directory, work):
    """Recordings that are cut or changed."""
    whole = max(recordings(directory), key=os.path.getsize)
    with open(whole, "rb") as f:
        data = f.read()
    for name, bad, words in [
            ("cut", data[:len(data) * 3 // 4], "ends in the middle of a record"),
            ("flipped", data[:len(data) // 2] + bytes([data[len(data) // 2] ^ 4]) + data[len(data) // 2 + 1:], "")]:
        path = os.path.join(work, name + ".flight")
        with open(path, "wb") as f:
            f.write(bad)
        code, said = journal(path)
        if code != 0 or not EQUAL.search(said) or "it ends at byte" not in said or words not in said:
            zk.fail("a %s recording: %d\n%s" % (name, code, said))
        print("flight: %s: %s" % (name, said.strip().splitlines()[-1].strip()), flush=True)
    path = os.path.join(work, "other.flight")
    with open(path, "wb") as f:
        f.write(data[:9] + b"9" + data[10:])
    code, said = journal(path)
    if code != 2 or "recorded by 9" not in said:
        zk.fail("a recording of another build: %d\n%s" % (code, said))
    print("flight: another build: " + said.strip().splitlines()[-1].strip(), flush=True)


class Recorded(zk.Server):
    """A server alone that records, or one that does not."""

    def __init__(self, port, record=None, size=64, files=2, **more):
        super().__init__(port, **more)
        self.record, self.size, self.files = record, size, files

    def command(self):
        more = ["--record", self.record, "--record-size", str(self.size), "--record-files", str(self.files)] if self.record else []
        return super().command() + more


def write_on(port, stop, counts):
    client = zk.Client(port)
    if client.ask(zk.CREATE, zk.create("/full", b"")).error not in (zk.OK, zk.NODE_EXISTS):
        zk.fail("no znode could be made")
    while not stop.is_set():
        batch = b"".join(client.encode(zk.SET_DATA, zk.set_data("/full", b"x" * 1000)) for _ in range(64))
        client.socket.sendall(batch)
        for _ in range(64):
            if client.receive().error != zk.OK:
                zk.fail("a write was refused while the recorder's disk was full")
            counts.append(time.time())
    client.close()


def full_disk(port, work):
    """The recorder's disk is full, and has room again."""
    mount = os.path.join(work, "small")
    os.makedirs(mount)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", mount], capture_output=True, text=True)
    if done.returncode != 0:
        print("flight: a full disk: SKIPPED: mounting a tmpfs is not allowed here: " + done.stderr.strip())
        return
    server = Recorded(port, record=os.path.join(mount, "flight"), size=4, files=100)
    stop, counts = threading.Event(), []
    try:
        with open(os.path.join(mount, "filler"), "wb") as f:
            f.write(bytes(12 << 20))
        server.start()
        writer = threading.Thread(target=write_on, args=(port, stop, counts), daemon=True)
        writer.start()
        wait_for(lambda: "recorder cannot write" in open(server.log).read(), 30, "the disk to be full")
        served = len(counts)
        time.sleep(1)
        if len(counts) < served + 64:
            zk.fail("clients had to wait because the recorder's disk was full")
        os.unlink(os.path.join(mount, "filler"))
        files = len(recordings(server.record))
        wait_for(lambda: set(recordings(server.record)) - files_of(server, files), 40, "recording to go on")
        time.sleep(0.5)
        stop.set()
        writer.join(30)
        server.kill(signal.SIGTERM)
        count, (_, turns, _), said = replayed(server.record)
        if "in a gap" not in said and "a gap:" not in said and count > 1:
            zk.fail("nothing is said of the gap:\n" + said)
        print("flight: a full disk: %d writes went on, %d recordings around the gap, %d turns equal" % (
            len(counts), count, turns), flush=True)
    finally:
        stop.set()
        if server.alive():
            server.kill()
        subprocess.run(["umount", "-l", mount], check=True)
        server.remove()


def files_of(server, count, seen={}):
    """The recordings there were when this was first asked."""
    return seen.setdefault(server.record, set(recordings(server.record)[:count]))


def wait_for(true, seconds, what):
    until = time.time() + seconds
    while not true():
        if time.time() > until:
            zk.fail("waited %d s in vain for %s" % (seconds, what))
        time.sleep(0.05)


def cost(port, work, rounds, seconds):
    """CPU per operation and throughput, with and without, in turn."""
    plain, recorded = Recorded(port), Recorded(port + 1, record=os.path.join(work, "cost"))
    try:
        plain.start()
        recorded.start()
        done = subprocess.run(
            [BENCH, "run", "--target", "plain=127.0.0.1:%d,pid=%d" % (port, plain.pid()),
             "--target", "recorded=127.0.0.1:%d,pid=%d" % (port + 1, recorded.pid()),
             "--rounds", str(rounds), "--seconds", str(seconds), "--warmup", "1",
             "--scenario", "write:16x16", "--scenario", "write:64x1", "--scenario", "mixed:16x16", "--scenario", "read:16x16"],
            capture_output=True, text=True)
        print(done.stdout + done.stderr, flush=True)
        if done.returncode != 0:
            zk.fail("the load generator failed")
        warned = [line for line in open(recorded.log) if "recorder" in line and "WARN" in line]
        print("flight: recorded with %d warnings%s" % (len(warned), "".join("\n  " + w.strip() for w in warned[:3])))
    finally:
        for server in (plain, recorded):
            if server.alive():
                server.kill(signal.SIGTERM)
            server.remove()


def stall(port, work, znodes):
    """The longest wait of a client that asks again and again, while copies of many znodes are made, and while not."""
    server = Recorded(port, record=os.path.join(work, "many"), size=1)
    try:
        server.start()
        subprocess.run([BENCH, "load", "--target", "z=127.0.0.1:%d" % port, "--znodes", str(znodes), "--bytes", "100"],
                       check=True, stdout=subprocess.DEVNULL)
        wait_for(lambda: not glob.glob(os.path.join(server.record, "*unfinished")), 120, "the copies to be over")
        client = zk.Client(port)
        client.ask(zk.CREATE, zk.create("/ask", b""))
        longest, copies = {True: [], False: []}, 0
        until, before = time.time() + 20, set(recordings(server.record))
        blob = zk.set_data("/ask", b"y" * 100000)
        while time.time() < until:
            started = time.perf_counter()
            client.ask(zk.SET_DATA, blob)
            took = (time.perf_counter() - started) * 1000
            copying = bool(glob.glob(os.path.join(server.record, "*unfinished")))
            longest[copying].append(took)
        copies = len(set(recordings(server.record)) - before)
        client.close()
        rows = ["%s: %d asked, median %.2f ms, p99.9 %.2f ms, longest %.2f ms" % (
            "while copying" if key else "else", len(all_), sorted(all_)[len(all_) // 2],
            sorted(all_)[int(len(all_) * 0.999)], max(all_)) for key, all_ in longest.items() if all_]
        print("flight: %d znodes, %d copies begun or finished; %s" % (znodes, copies, "; ".join(rows)), flush=True)
    finally:
        if server.alive():
            server.kill(signal.SIGTERM)
        server.remove()


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--quick", action="store_true")
    a.add_argument("--port", type=int, default=21000)
    a.add_argument("--only", choices=["ensemble", "full", "cost", "stall"])
    a.add_argument("--keep", action="store_true", help="leave the recordings there")
    o = a.parse_args()
    work = tempfile.mkdtemp(prefix="zoetrope-flight-")
    wanted = [o.only] if o.only else ["ensemble", "full", "cost"]
    try:
        if "ensemble" in wanted:
            ensemble, leader, zxid_before, before, shown, acknowledged = ensemble_run(
                os.path.join(work, "ensemble"), o.port, 3 if o.quick else 15)
            print("flight: %d writes were acknowledged" % acknowledged, flush=True)
            directory = replay_all(ensemble, leader, zxid_before, before, shown)
            damage(directory, work)
        if "full" in wanted:
            full_disk(o.port + 40, work)
        if "cost" in wanted:
            cost(o.port + 50, work, 3 if o.quick else 7, 1 if o.quick else 3)
        if "stall" in wanted:
            stall(o.port + 60, work, 1_000_000)
    finally:
        if o.keep:
            print("flight: kept in " + work)
        else:
            shutil.rmtree(work, ignore_errors=True)
    print("flight: passed")


if __name__ == "__main__":
    main()
