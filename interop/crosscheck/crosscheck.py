#!/usr/bin/env python3
"""The cross-check: the same random requests to two servers, every reply and event compared field by field.

  crosscheck.py --a HOST:PORT --b HOST:PORT [--seed N] [--ops N]
  crosscheck.py --java java39|java38 [--seeds N] [--ops N] [--first-seed N]    starts both servers itself

Compared are xid, zxid, error and every field of every body, order on each connection, and who is cut off when. Not
compared: times (only their consistency), session ids (only which is which), the order of children.
Accepted differences stand in differences.py with their reasons.
"""
import argparse
import collections
import os
import random
import select
import shutil
import socket
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import servers
from differences import accepted
from generate import Generator
from jute import NAMES, OPS, Reader, View, b, buf, connect, frame, i, s

SENTINEL = 0x7f000001

# What a full run must have met. Not among the codes: those of ensembles (-13, -14, -119, -120), those that no server sends,
# and two that are a matter of time: -112 (a session that ends takes its connection with it) and -127 (throttling).
CODES = {0, -2, -5, -6, -8, -101, -102, -103, -108, -110, -111, -114, -115, -121, -123, -124, -125}
# Refused by Zoetrope on purpose, see docs/compatibility.md.
OPERATIONS = set(OPS) - {"deleteContainer", "createSession"}


class Side:
    """One server's end of a connection."""

    def __init__(self, addr, view):
        self.addr, self.view = addr, view
        self.sock, self.buf = None, b""
        self.sid, self.password = 0, b"\0" * 16

    def open(self):
        self.sock = socket.create_connection(self.addr, 10)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buf = b""

    def send(self, data):
        try:
            self.sock.sendall(data)
        except OSError:
            pass

    def read_frame(self, timeout=10):
        """A frame, or None when the server closed the connection."""
        until = time.time() + timeout
        while True:
            if len(self.buf) >= 4:
                n = int.from_bytes(self.buf[:4], "big")
                if len(self.buf) >= 4 + n:
                    payload, self.buf = self.buf[4:4 + n], self.buf[4 + n:]
                    return payload
            left = until - time.time()
            if left <= 0 or not select.select([self.sock], [], [], left)[0]:
                raise TimeoutError("no answer from %s:%d within %d s" % (*self.addr, timeout))
            try:
                piece = self.sock.recv(1 << 16)
            except OSError:
                return None
            if not piece:
                return None
            self.buf += piece

    def collect(self, ops, last_xid):
        """All frames up to the sentinel's reply, decoded; ends with "closed" when the server closed."""
        out = []
        while True:
            payload = self.read_frame()
            if payload is None:
                out.append("closed")
                return out
            r = Reader(payload)
            xid, zxid, err = r.i(), r.q(), r.i()
            if xid == -1:
                out.append(("event", zxid, err, r.i(), r.i(), r.s(), r.rest().hex()))
                continue
            if xid == last_xid:
                return out
            op = ops.get(xid)
            if op is None and xid == -2:
                op = 11
            out.append((NAMES.get(op, op), xid, zxid, err, self.view.body(op, r)))

    def close(self):
        if self.sock:
            self.sock.close()
            self.sock = None


class Pair:
    """The same client on both servers."""

    def __init__(self, a, b):
        self.sides = (a, b)
        self.xid = 0
        self.open = False

    def connect(self, session, timeout=600000, last_zxid=0, read_only=False, password=None):
        answers = []
        for side in self.sides:
            side.close()
            side.open()
            sid = side.sid if session else 0
            secret = password if password is not None else (side.password if session else b"\0" * 16)
            side.send(connect(sid, secret, last_zxid, timeout, read_only))
        for side in self.sides:
            payload = side.read_frame()
            if payload is None:
                answers.append("closed")
                continue
            r = Reader(payload)
            version, timeout, sid, secret = r.i(), r.i(), r.q(), r.buf()
            if timeout:
                side.sid, side.password = sid, secret
            answers.append((version, timeout, side.view.session(sid), len(secret), secret == b"\0" * 16, r.rest()))
        self.open = answers[0] == answers[1] and answers[0] != "closed" and answers[0][1] > 0
        if not self.open:
            for side in self.sides:
                side.close()
        return answers


class Run:
    def __init__(self, addrs, seed, verbose=False):
        self.rng = random.Random(seed)
        self.seed = seed
        # Java compares a write with the quota's figures as they are applied by then, which is a matter of luck when
        # requests are pipelined. Every third seed has quotas, and sends one request at a time.
        self.quotas = seed % 3 == 0
        self.generator = Generator(self.rng, self.quotas)
        views = (View(), View())
        self.pairs = [Pair(Side(addrs[0], views[0]), Side(addrs[1], views[1])) for _ in range(3)]
        self.coverage = collections.Counter()
        self.count = 0
        self.history = collections.deque(maxlen=30)
        self.verbose = verbose

    def fail(self, what, a, b):
        print("\nDIFFERENCE (seed %d, after %d operations): %s" % (self.seed, self.count, what))
        for line in list(self.history)[-12:]:
            print("   ", line)
        print("  first : %s\n  second: %s" % (a, b))
        return False

    def reconnect(self, pair):
        rng = self.rng
        kind = rng.random()
        has = pair.sides[0].sid != 0
        args = {"session": has and kind < 0.6}
        if kind < 0.1:
            args["password"] = b"wrong password!!"
        elif 0.6 <= kind < 0.7:
            args["last_zxid"] = 10 ** 12
        # Long enough for a slow machine: when a session that was left behind expires is nobody's promise.
        args["timeout"] = rng.choice([600000, 700000, 1000000, 900000])
        args["read_only"] = rng.choice([False, False, None, True])
        self.history.append("connect %r" % args)
        self.count += 1
        a, b = pair.connect(**args)
        self.coverage["connect", "refused" if a == "closed" or a[1] == 0 else 0] += 1
        if a != b:
            return self.fail("connect", a, b)
        return True

    def batch(self, pair):
        """Some requests at once, and what both servers make of them."""
        rng = self.rng
        closing = rng.random() < 0.03
        requests = [self.generator.closing()] if closing else [self.generator.request() for _ in range(1 if self.quotas else rng.randint(1, 12))]
        # Answers to auth and sasl may overtake others, as they please; and Java checks what is sent behind a setACL
        # that is still in flight against the former ACL, and what is sent behind a multi that an ACL without an id has
        # spoiled against half of that multi. Each of these goes alone.
        alone = [r for r in requests if r[0] in (100, 102, 7) or (r[0] == 14 and "None" in r[2])]
        requests = alone[:1] or requests
        data, ops = b"", {}
        for op, body, text in requests:
            pair.xid += 1
            xid = -2 if op == 11 else pair.xid
            ops[pair.xid] = op
            data += frame(body) if op is None else frame(i(xid) + i(op) + body)
            self.history.append("conn %d xid %d: %s" % (self.pairs.index(pair), pair.xid, text))
            self.count += 1
        for side in pair.sides:
            side.send(data + (b"" if closing else frame(i(SENTINEL) + i(107))))
        seen = [side.collect(ops, SENTINEL) for side in pair.sides]
        sort_events = closing
        if not self.compare("replies", *seen, sort_events):
            return False
        if seen[0] and seen[0][-1] == "closed":
            pair.open = False
        for reply in seen[0]:
            if reply != "closed" and reply[0] != "event":
                self.coverage[reply[0], reply[3]] += 1
                self.generator.last_zxid = max(self.generator.last_zxid, reply[2])
                if isinstance(reply[4], list):
                    for part in reply[4]:
                        if isinstance(part, tuple) and len(part) == 3 and part[0] != "end":
                            self.coverage["in multi: %s" % part[0], part[1]] += 1
        for other in self.pairs:
            if other is not pair and other.open:
                for side in other.sides:
                    side.send(frame(i(SENTINEL) + i(107)))
                seen = [side.collect({}, SENTINEL) for side in other.sides]
                self.coverage["event", 0] += sum(1 for e in seen[0] if e[0] == "event")
                if not self.compare("events of conn %d" % self.pairs.index(other), *seen, True if sort_events else False):
                    return False
                if seen[0] and seen[0][-1] == "closed":
                    other.open = False
        return True

    def compare(self, what, a, b, sort_events):
        if sort_events:
            a, b = (sorted(x, key=repr) for x in (a, b))
        if a == b:
            return True
        for n in range(max(len(a), len(b))):
            one = a[n] if n < len(a) else "nothing"
            two = b[n] if n < len(b) else "nothing"
            if one != two and not accepted(one, two):
                return self.fail("%s, number %d" % (what, n), one, two)
        return True

    def go(self, ops):
        while self.count < ops:
            pair = self.rng.choice(self.pairs)
            if not pair.open or self.rng.random() < 0.01:
                if not self.reconnect(pair):
                    return False
            elif not self.batch(pair):
                return False
        for pair in self.pairs:
            for side in pair.sides:
                side.close()
        return True


def address(text):
    host, port = text.rsplit(":", 1)
    return host, int(port)


class Enforced(Run):
    """A few requests to servers that want a login first."""

    def go(self, ops):
        pair = self.pairs[0]
        read = (OPS["getData"], s("/") + b(False), "getData '/'")
        login = (OPS["auth"], i(0) + s("digest") + buf(b"u1:p1"), "auth digest u1:p1")
        for script in ([read], [login, read], [(OPS["whoAmI"], b"", "whoAmI")], [login, (OPS["create"], b"", "create")]):
            pair.connect(session=False)
            for request in script:
                self.quotas, self.generator.request, self.generator.closing = True, lambda r=request: r, lambda r=request: r
                if pair.open and not self.batch(pair):
                    return False
        return True


def missing(coverage):
    """Operations and error codes that did not occur."""
    seen = {(str(op).removeprefix("in multi: "), err) for op, err in coverage}
    operations = OPERATIONS - {op for op, _ in seen}
    return sorted(operations) + sorted(CODES - {err for _, err in seen if isinstance(err, int)})


def with_servers(kinds, seed, ops, port, what=Run, keys=()):
    """A fresh pair of servers for each seed, so that zxids begin equal."""
    base = tempfile.mkdtemp(prefix="zoetrope-crosscheck-")
    common = ["enforceQuota=true", "maxSessionTimeout=900000", *keys]
    containers = "znode.container.checkIntervalMs=3600000"
    try:
        for n, kind in enumerate(kinds):
            cfg = common + ([containers] if kind == "zoetrope" else [])
            servers.start(os.path.join(base, str(n)), kind, port + n, cfg=cfg, props=[containers])
        run = what([("127.0.0.1", port), ("127.0.0.1", port + 1)], seed)
        try:
            good = run.go(ops)
        except (TimeoutError, OSError, EOFError) as error:
            good = run.fail("no comparison possible", repr(error), "")
        return good, run
    finally:
        for n in range(len(kinds)):
            servers.stop(os.path.join(base, str(n)))
        shutil.rmtree(base, ignore_errors=True)


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--a")
    a.add_argument("--b")
    a.add_argument("--java", default="java39", choices=["java38", "java39"])
    a.add_argument("--against", default="zoetrope", choices=["zoetrope", "java38", "java39"])
    a.add_argument("--seeds", type=int, default=20)
    a.add_argument("--first-seed", type=int, default=1)
    a.add_argument("--ops", type=int, default=10000)
    a.add_argument("--port", type=int, default=32100)
    a.add_argument("--keep-going", action="store_true")
    o = a.parse_args()
    coverage, total, bad = collections.Counter(), 0, 0
    started = time.time()
    for seed in range(o.first_seed, o.first_seed + o.seeds):
        if o.a:
            run = Run([address(o.a), address(o.b)], seed)
            good = run.go(o.ops)
        else:
            good, run = with_servers([o.java, o.against], seed, o.ops, o.port)
        total += run.count
        coverage += run.coverage
        bad += not good
        print("seed %d: %d operations, %s" % (seed, run.count, "equal" if good else "DIFFERENT"), flush=True)
        if not good and not o.keep_going:
            break
    if not o.a:
        keys = ["enforce.auth.enabled=true", "enforce.auth.schemes=digest"]
        good, run = with_servers([o.java, o.against], 0, 0, o.port, Enforced, keys)
        total += run.count
        coverage += run.coverage
        bad += not good
        print("with a login enforced: %d operations, %s" % (run.count, "equal" if good else "DIFFERENT"), flush=True)
    print("\ncoverage (operation, error code: times)")
    table = collections.defaultdict(list)
    for (op, err), n in sorted(coverage.items(), key=repr):
        table[op].append("%s: %d" % (err, n))
    for op in sorted(table, key=str):
        print("  %-28s %s" % (op, ", ".join(table[op])))
    lacking = missing(coverage)
    print("every operation and every error code occurred" if not lacking else "did not occur: %s" % lacking)
    if lacking and total >= 200000:
        bad += 1
    print("%d operations over %d seeds in %.0f s, %d seeds with a difference" % (total, seed - o.first_seed + 1, time.time() - started, bad))
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
