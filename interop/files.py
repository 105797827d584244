#!/usr/bin/env python3
"""Data directories go to and fro between real Java servers and Zoetrope.

  files.py [--quick] [--java java38 java39]

A directory that Zoetrope wrote (a simulated hour of hard work with crashes, and a random workload on the real binary
that ends with kill -9): each Java server starts on it without any warning that it does not print on an empty directory,
and shows the same znodes, with every field, and the same digests as Zoetrope on a copy. And the same with the parts
exchanged: a directory that the Java server wrote and left by kill -9.
"""
import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
REPO = os.path.dirname(HERE)
sys.path[:0] = [HERE, os.path.join(HERE, "crosscheck"), os.path.join(HERE, "proof")]
import crosscheck
import servers
import zk

PORT = 29200
SLOW = "znode.container.checkIntervalMs=3600000"
passed, failed = 0, 0


def check(what, good, detail=""):
    global passed, failed
    passed, failed = passed + bool(good), failed + (not good)
    print("%s  %s%s" % ("ok   " if good else "FAIL ", what, "" if good else ": " + detail), flush=True)


class Blind(crosscheck.Run):
    """The cross-check's requests, its comparison left out: here they only make work. Without quotas, whose figures Java
    misses itself when it replays its own log, and create2 within a multi, which 3.8 neither accepts nor reads from the
    log of a 3.9."""

    def __init__(self, addrs, seed):
        super().__init__(addrs, seed)
        self.generator.multi_creates = ["create"] * 5 + ["createContainer", "createTTL"]

    def compare(self, what, a, b, sort_events):
        return True

    def fail(self, what, a, b):
        return True


def start(directory, kind, port=PORT):
    cfg = ["enforceQuota=true", "snapCount=2000", "preAllocSize=64"] + ([SLOW] if kind == "zoetrope" else [])
    return servers.start(directory, kind, port, cfg=cfg, props=[SLOW, "zookeeper.snapCount=2000"])


def leave_a_log(directory, port):
    """Writes until the log goes on for a while behind the last snapshot: only what a server reads from its log gives it
    digests to show (every 128th txn)."""
    client = zk.Client(port)
    client.ask(zk.CREATE, zk.create("/log", b""))
    while True:
        for _ in range(128):
            client.send(zk.SET_DATA, zk.set_data("/log", b"more"))
        for _ in range(128):
            client.receive()
        names = os.listdir(os.path.join(directory, "data", "version-2"))
        last = max((int(name[9:].split(".")[0], 16) for name in names if re.match("snapshot\\.[0-9a-f]+", name)), default=0)
        zxid = int(re.search(r"Zxid: 0x([0-9a-f]+)", servers.word(port, "srvr")).group(1), 16)
        if zxid - last >= 500:
            break
    client.close()


def written_by(kinds, base, ops):
    """Directories that servers of these kinds wrote under the same work, killed in the midst of it."""
    directories = [os.path.join(base, "by-" + kind) for kind in kinds]
    for n, (kind, directory) in enumerate(zip(kinds, directories)):
        start(directory, kind, PORT + n)
    try:
        for seed in (4, 5):
            run = Blind([("127.0.0.1", PORT), ("127.0.0.1", PORT + len(kinds) - 1)], seed)
            try:
                run.go(ops // 2)
            except (TimeoutError, OSError, EOFError) as error:
                print("      (work with seed %d ended early: %r)" % (seed, error))
        for n, directory in enumerate(directories):
            leave_a_log(directory, PORT + n)
    finally:
        for directory in directories:
            servers.stop(directory, signal.SIGKILL)
    return directories


def tree(port):
    """Every znode: path, its data and stat, its ACL; read as super."""
    client = zk.Client(port)
    client.ask(100, zk.struct.pack(">i", 0) + zk.buf("digest") + zk.buf("super:test"))
    out, level = {}, ["/"]
    while level:
        below = []
        for start in range(0, len(level), 200):
            part = level[start:start + 200]
            for path in part:
                client.send(zk.GET_DATA, zk.read(path))
                client.send(6, zk.buf(path))
                client.send(zk.GET_CHILDREN, zk.read(path))
            for path in part:
                data, acl, children = (client.receive() for _ in range(3))
                out[path] = (data.error, data.body, acl.error, acl.body)
                below += [path.rstrip("/") + "/" + name for name in (children.strings() if not children.error else [])]
        level = sorted(below)
    client.close()
    return out


def digests(port):
    """zxid -> digest, of those that the server has noted while it read its files."""
    return dict(re.findall(r"^([0-9a-f]+): (\d+)$", servers.word(port, "hash"), re.M))


def complaints(directory):
    """Warnings or worse in a Java server's log, without what differs between runs and what it says of this client."""
    with open(os.path.join(directory, "log"), errors="replace") as f:
        lines = [line.rstrip() for line in f if re.search(r"\b(WARN|ERROR)\b", line) and "ServerCnxn - " not in line]
    return [re.sub(r"\d+", "N", re.sub(r"/\S+", "PATH", re.sub(r"^.*?\b(WARN|ERROR)\b", r"\1", line))) for line in lines]


def look(kind, source, base):
    """Starts a server of that kind on a copy. Its znodes, its digests, its complaints."""
    directory = tempfile.mkdtemp(prefix=kind + "-", dir=base)
    if source:
        shutil.copytree(source, os.path.join(directory, "data"))
    process = start(directory, kind)
    try:
        assert process.poll() is None
        return tree(PORT), digests(PORT), complaints(directory)
    finally:
        servers.stop(directory)
        shutil.rmtree(directory)


def same_trees(what, one, two):
    odd = [path for path in sorted(set(one) | set(two)) if one.get(path) != two.get(path)]
    detail = "; ".join(("%s: %s / %s" % (p, one.get(p), two.get(p)))[:400] for p in odd[:3])
    check("%s: %d znodes, equal in every field" % (what, len(one)), not odd, "%d differ: %s" % (len(odd), detail))


def compare(what, source, java, base, usual):
    ours, our_digests, _ = look("zoetrope", source, base)
    theirs, their_digests, said = look(java, source, base)
    same_trees("%s, read by %s and Zoetrope" % (what, java), ours, theirs)
    both = set(our_digests) & set(their_digests)
    odd = [zxid for zxid in both if our_digests[zxid] != their_digests[zxid]]
    check("%s: %d digests of both servers equal" % (what, len(both)), both and not odd, "differ at %s" % odd[:3])
    if what != "written by " + java:  # it was killed, and may complain about itself
        news = sorted(set(said) - set(usual))
        check("%s: %s starts without a warning" % (what, java), not news, "; ".join(line[:200] for line in news[:3]))


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--quick", action="store_true")
    a.add_argument("--java", nargs="*", default=["java38", "java39"])
    o = a.parse_args()
    base = tempfile.mkdtemp(prefix="zoetrope-files-")
    try:
        simulated = os.path.join(base, "simulated")
        subprocess.run(["cargo", "run", "-q", "--release", "-p", "sim-tests", "--bin", "zoetrope-sim", "--", "files", simulated,
                        "--seconds", "300" if o.quick else "3600"], check=True, cwd=REPO)
        for java in o.java:
            _, _, usual = look(java, None, base)
            compare("simulated work", simulated, java, base, usual)
            by_java, by_us = written_by([java, "zoetrope"], base, 4000 if o.quick else 20000)
            compare("written by Zoetrope", by_us + "/data", java, base, usual)
            compare("written by " + java, by_java + "/data", java, base, usual)
            shutil.rmtree(by_java)
            shutil.rmtree(by_us)
    finally:
        shutil.rmtree(base, ignore_errors=True)
    print("%d passed, %d failed, 0 skipped" % (passed, failed))
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
