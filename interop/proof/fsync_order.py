#!/usr/bin/env python3
"""Nothing is told to a client before it would survive a power cut, shown from what the system was asked to do.

kill -9 keeps the page cache, so it cannot show a missing fsync. Here the server runs under strace. The trace holds every
byte it wrote into its log and into its sockets, so the proof needs none of the server's own words:

* a log record is durable when an fdatasync or fsync of its file that began after the record was written has returned 0,
  and an fsync of the directory that began after the file got its name has returned 0;
* no reply (and no answer to a new session, ping or read) leaves whose zxid is above the last zxid up to which all records
  are durable;
* an old log or snapshot is removed only when every newer snapshot has a durable name and content;
* after a kill, what was read back from the last log is durable before anything is told.

Then it must fail where it should: with `forceSync=no`, and with fsync taken away from under the server (strace answers it
without calling the kernel, which counts as no fsync), where log files lose their names.
"""
import argparse
import os
import re
import struct
import sys
import threading
import time

import zk

CALLS = "openat,close,write,pwrite64,writev,sendto,sendmsg,fsync,fdatasync,sync_file_range,rename,renameat,renameat2,unlink,unlinkat,mkdir"
LINE = re.compile(r"^(\d+) +([\d.]+) (.*)$")
ENTRY = re.compile(r"^(\w+)\((.*?)(?:\) += (-?\w+)(.*)| <unfinished \.\.\.>)$", re.S)
RESUMED = re.compile(r"^<\.\.\. (\w+) resumed>(.*?)\) += (-?\w+)(.*)$", re.S)
FD = re.compile(r"^\d+<(.*?)>(?=,|$|\(deleted\))")
QUOTED = re.compile(r'"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?')


def plain(text):
    return bytes.fromhex(text.replace("\\x", ""))


def target(args):
    """The file or socket a call's first argument stands for."""
    found = FD.match(args)
    if not found:
        return None
    return plain(found.group(1)).decode() if found.group(1).startswith("\\x") else found.group(1)


class File:
    def __init__(self, path, named, content):
        self.path, self.named, self.clean = path, named, content
        self.image, self.parsed, self.records = bytearray(), 16, {}
        self.writes, self.synced = 0, 0
        self.snapshot = False


class Trace:
    """Follows one trace line by line."""

    def __init__(self, version2, known):
        """`known`: the files before the trace began, path -> bytes."""
        self.version2 = version2
        self.files = {}
        self.zxids = {}            # zxid -> the file that holds its record
        self.floor = self.durable = 0
        for path, content in known.items():
            f = self.files[path] = File(path, True, True)
            f.image = bytearray(content)
            if os.path.basename(path).startswith("log."):
                self.floor = max([self.floor] + self.parse(f))
        # What a killed server wrote last may be in the page cache only.
        logs = [p for p in known if os.path.basename(p).startswith("log.")]
        self.tail = max(logs, key=lambda p: int(p.rsplit(".", 1)[1], 16)) if logs else None
        self.durable = self.floor  # every record up to here is durable
        self.open_calls, self.sockets = {}, {}
        self.problems, self.replies, self.dir_syncs, self.log_syncs, self.names = [], 0, 0, 0, 0
        self.pending_dirs = set()

    # -- log records ---------------------------------------------------------------------------------------------
    def wrote(self, path, at, data):
        f = self.files.setdefault(path, File(path, True, False))
        f.writes += 1
        if not data.strip(b"\0"):
            return
        if len(f.image) < at + len(data):
            f.image.extend(bytes(at + len(data) - len(f.image)))
        f.image[at:at + len(data)] = data
        if data[:4] == b"ZKSN":
            f.snapshot = True
        if f.snapshot:
            return
        for zxid in self.parse(f):
            if zxid > self.floor:
                f.records[zxid] = f.writes
                self.zxids[zxid] = f

    def parse(self, f):
        """The zxids of the whole records that were added to a log since the last time."""
        out = []
        while len(f.image) >= f.parsed + 13:
            length, = struct.unpack_from(">i", f.image, f.parsed + 8)
            if length <= 0 or len(f.image) < f.parsed + 12 + length + 1:
                break
            out.append(struct.unpack_from(">q", f.image, f.parsed + 12 + 12)[0])
            f.parsed += 12 + length + 1
        return out

    def synced(self, path, upto):
        f = self.files.get(path)
        if f is None:
            return
        f.synced = max(f.synced, upto)
        self.log_syncs += 1
        if path == self.tail:
            self.tail = None

    def is_durable(self, zxid):
        f = self.zxids.get(zxid)
        if f is None or not f.named:
            return False
        return f.synced >= f.records[zxid]

    def advance(self):
        while self.durable + 1 in self.zxids and self.is_durable(self.durable + 1):
            self.durable += 1

    # -- replies -------------------------------------------------------------------------------------------------
    def told(self, name, data, when, state):
        """`state`: what was durable when the call began."""
        durable, dirs, tail = state
        pending = self.sockets.setdefault(name, bytearray())
        pending += data
        while len(pending) >= 4:
            if pending[:9] == b"Zookeeper":  # a four-letter word
                pending.clear()
                return
            length, = struct.unpack_from(">i", pending)
            if len(pending) < 4 + length:
                return
            body = bytes(pending[4:4 + length])
            del pending[:4 + length]
            if (name, "up") not in self.sockets:
                self.sockets[name, "up"] = True
                continue
            xid, zxid, error = struct.unpack_from(">iqi", body)
            if xid == -1:
                continue
            self.replies += 1
            if zxid > durable and len(self.problems) < 20:
                self.problems.append("%s: the reply to xid %d, error %d, tells zxid 0x%x, but only 0x%x was durable" % (
                    when, xid, error, zxid, durable))
            if (dirs or tail) and len(self.problems) < 20:
                self.problems.append("%s: a reply leaves before %s" % (when, dirs or tail))

    # -- calls ---------------------------------------------------------------------------------------------------
    def state(self):
        return self.durable, sorted(self.pending_dirs), self.tail

    def begin(self, call, args):
        """What must be remembered from the moment a call begins."""
        if call in ("fsync", "fdatasync"):
            f = self.files.get(target(args))
            return (f.writes if f else 0), {p for p, g in self.files.items() if not g.named}, set(self.pending_dirs)
        if call in ("unlink", "unlinkat"):
            path = plain(QUOTED.search(args).group(1)).decode()
            name = os.path.basename(path)
            loose = [p for p, g in self.files.items() if "snapshot." in os.path.basename(p) and not g.named]
            if name.startswith(("log.", "snapshot.")) and loose:
                self.problems.append("%s is removed while the name of %s is not durable" % (name, loose))
        return self.state()

    def end(self, call, args, result, note, when, before):
        if result.startswith("-") or result == "?":
            return
        path = target(args)
        if call in ("fsync", "fdatasync") and "INJECTED" not in note:
            writes, unnamed, dirs = before
            if path == self.version2:
                self.dir_syncs += 1
                for p in unnamed:
                    if p in self.files:
                        self.files[p].named = True
            self.pending_dirs -= {d for d in dirs if os.path.dirname(d) == path}
            self.synced(path, writes)
            self.advance()
        elif call in ("write", "pwrite64") and path and path.startswith(self.version2):
            data = plain(QUOTED.search(args).group(1))[:int(result)]
            at = int(args.rsplit(", ", 1)[1]) if call == "pwrite64" else len(self.files[path].image)
            self.wrote(path, at, data)
        elif call in ("write", "sendto", "writev", "sendmsg") and path and path.startswith("TCP"):
            data = b"".join(plain(q) for q, _ in QUOTED.findall(args))[:int(result)]
            self.told(path, data, when, before)
        elif call == "openat" and "O_CREAT" in args:
            made = plain(QUOTED.search(args).group(1)).decode()
            if made.startswith(self.version2) and not made.endswith(("-probe", ".lock")):
                if made not in self.files:
                    self.names += 1
                    self.files[made] = File(made, False, False)
        elif call.startswith("rename"):
            old, new = (plain(q).decode() for q, _ in QUOTED.findall(args))
            if old in self.files:
                f = self.files[new] = self.files.pop(old)
                f.path, f.named = new, False
                self.names += 1
        elif call in ("unlink", "unlinkat"):
            self.files.pop(plain(QUOTED.search(args).group(1)).decode(), None)
        elif call == "mkdir":
            self.pending_dirs.add(plain(QUOTED.search(args).group(1)).decode())

    def run(self, path):
        with open(path) as lines:
            for line in lines:
                head = LINE.match(line.rstrip("\n"))
                if not head:
                    continue
                thread, when, rest = head.groups()
                entry = ENTRY.match(rest)
                if entry:
                    call, args, result, note = entry.groups()
                    before = self.begin(call, args)
                    if result is None:
                        self.open_calls[thread] = (call, args, before)
                    else:
                        self.end(call, args, result, note or "", when, before)
                    continue
                resumed = RESUMED.match(rest)
                if resumed and thread in self.open_calls:
                    call, args, before = self.open_calls.pop(thread)
                    self.end(call, args + resumed.group(2), resumed.group(3), resumed.group(4), when, before)
        return self


def load(port, seconds, names, most):
    """Pipelined writes of several clients, with reads among them; answers how many were acknowledged. `most`: of each
    client, where a disk that is not waited for would let the trace grow without end."""
    done = [0] * 4

    def one(index):
        try:
            client = zk.Client(port)
            client.ask(zk.CREATE, zk.create("/%s%d" % (names, index), b""))
            until, flight, number = time.time() + seconds, 0, 0
            def goes_on():
                return time.time() < until and number < most
            while goes_on() or flight:
                while flight < 4 and goes_on():
                    number += 1
                    path = "/%s%d" % (names, index)
                    if number % 3 == 0:
                        client.send(zk.SET_DATA, zk.set_data(path, b"%d" % number))
                    elif number % 7 == 0:
                        client.send(zk.GET_DATA, zk.read(path))
                    else:
                        client.send(zk.CREATE, zk.create("%s/n%d" % (path, number), b"x" * 100))
                    flight += 1
                client.receive()
                flight -= 1
                done[index] += 1
            client.socket.close()
        except OSError:
            pass

    threads = [threading.Thread(target=one, args=(i,), daemon=True) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(seconds + 60)
    return sum(done)


def traced(port, seconds, lines, inject, data, known, names, most):
    """Runs a load on a traced server; answers the trace, the replies and the files left."""
    out = os.path.join(data, "..", "trace-" + names)
    prefix = ["strace", "-f", "-ttt", "-yy", "-xx", "-s", "200000", "-o", out, "-e", "trace=" + CALLS, "-e", "signal=none"]
    prefix += ["-e", inject] if inject else []
    # Small records need little room: every zero that is written to reserve some stands in the trace.
    small = ["snapCount=300", "preAllocSize=256", "jute.maxbuffer=65535"]
    server = zk.Server(port, [*small, *lines], prefix, data)
    server.start()
    done = load(port, seconds, names, most)
    server.kill()
    version2 = os.path.join(data, "version-2")
    trace = Trace(version2, known).run(out)
    server.remove()
    files = {}
    for name in os.listdir(version2):
        with open(os.path.join(version2, name), "rb") as f:
            files[os.path.join(version2, name)] = f.read()
    return trace, done, files


def proof(port, seconds, lines=(), inject=None, most=10**9):
    """Two lives of a server on one directory, the first one killed."""
    holder = zk.Server(port)
    try:
        first, done, known = traced(port, seconds, lines, inject, holder.data, {}, "a", most)
        second, more, _ = traced(port, seconds, lines, inject, holder.data, known, "b", most)
    finally:
        holder.remove()
    return [first, second], done + more


def readable(trace):
    return "%d replies, %d syncs of files, %d of the directory, %d names" % (
        trace.replies, trace.log_syncs, trace.dir_syncs, trace.names)


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--seconds", type=float)
    a.add_argument("--quick", action="store_true")
    a.add_argument("--port", type=int, default=28200)
    o = a.parse_args()
    seconds = o.seconds or (3 if o.quick else 30)
    if os.system("command -v strace >/dev/null") != 0:
        os.system("apt-get install -y -qq strace >/dev/null || { apt-get update -qq && apt-get install -y -qq strace >/dev/null; }")
    if os.system("strace -o /dev/null true") != 0:
        print("fsync-order: SKIPPED: this system does not allow tracing (ptrace)")
        return
    traces, done = proof(o.port, seconds)
    for trace in traces:
        print("fsync-order: " + readable(trace), flush=True)
        if trace.problems:
            zk.fail("fsync-order:\n" + "\n".join(trace.problems[:20]))
        if trace.replies < 200 or trace.dir_syncs < 2 or trace.names < 2:
            zk.fail("fsync-order: the load did not meet what is to be shown")
    if sum(t.replies for t in traces) < done:
        zk.fail("fsync-order: %d replies were received, fewer were traced" % done)
    for what, lines, inject in (("forceSync=no", ["forceSync=no"], None),
                                ("no fsync of names", [], "inject=fsync:retval=0"),
                                ("no fdatasync", [], "inject=fdatasync:retval=0")):
        traces, _ = proof(o.port, min(seconds, 3), lines, inject, 500)
        problems = [p for t in traces for p in t.problems]
        if not problems:
            zk.fail("fsync-order: %s was not noticed" % what)
        print("fsync-order: %s is noticed: %s" % (what, problems[0]), flush=True)
    print("fsync-order: passed")


if __name__ == "__main__":
    main()
