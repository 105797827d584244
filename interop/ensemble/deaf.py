#!/usr/bin/env python3
"""A server that sends and does not read must cost the others bounded memory. This script plays server 3 of three.

  deaf.py [--kind zoetrope] [--seconds 4] [--port P]

It votes without reading the answers, and then joins as a follower and asks about sessions without reading the answers.
Prints how much memory the leader took meanwhile. Exits 1 when that was more than LIMIT, or when the two others stop serving.
"""
import argparse
import shutil
import socket
import struct
import sys
import tempfile
import time

import members

LIMIT_KIB = 64 << 10
LOOKING = 0
ACK, PING, REVALIDATE, UPTODATE, FOLLOWERINFO, NEWLEADER, LEADERINFO, ACKEPOCH = 3, 5, 6, 12, 11, 10, 17, 18
ME = 3


def memory(member):
    with open("/proc/%d/status" % member.process.pid) as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))


def narrow(port):
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    s.settimeout(1)
    s.connect(("127.0.0.1", port))
    return s


def flood(sock, chunk, pieces, seconds):
    """Sends as much as is taken, reads nothing; how many pieces were taken."""
    until, sent = time.time() + seconds, 0
    try:
        while time.time() < until:
            sent += sock.send(chunk)
    except OSError:
        pass  # it is not listened to any more, or was cut off
    return sent * pieces // len(chunk)


def votes(member, address, seconds):
    sock = narrow(member.election)
    sock.sendall(struct.pack(">qqi", -65536, ME, len(address)) + address)
    text = b"version=0"
    vote = struct.pack(">iqqqqi", LOOKING, ME, 0, 1, 0, 2) + struct.pack(">i", len(text)) + text
    return flood(sock, (struct.pack(">i", len(vote)) + vote) * 1000, 1000, seconds)


def packet(kind, zxid, data=None):
    body = struct.pack(">i", -1) if data is None else struct.pack(">i", len(data)) + data
    return struct.pack(">iq", kind, zxid) + body + struct.pack(">i", -1)


def exactly(sock, n):
    out = b""
    while len(out) < n:
        piece = sock.recv(n - len(out))
        if not piece:
            raise OSError("closed")
        out += piece
    return out


def read_packet(sock):
    kind, zxid, length = struct.unpack(">iqi", exactly(sock, 16))
    exactly(sock, max(0, length))
    exactly(sock, 4)
    return kind, zxid


def follow(member):
    """Joins as a follower whose disk is empty, as far as UPTODATE; only for a leader that sends DIFF."""
    sock = narrow(member.quorum)
    sock.settimeout(10)
    sock.sendall(packet(FOLLOWERINFO, 0, struct.pack(">qiq", ME, 0x10000, 0)))
    kind, zxid = read_packet(sock)
    assert kind == LEADERINFO, kind
    sock.sendall(packet(ACKEPOCH, 0, struct.pack(">i", 0)))
    while True:
        kind, zxid = read_packet(sock)
        if kind == NEWLEADER:
            sock.sendall(packet(ACK, zxid))
        if kind == UPTODATE:
            return sock


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--kind", default="zoetrope")
    a.add_argument("--seconds", type=float, default=4)
    a.add_argument("--port", type=int, default=23500)
    o = a.parse_args()
    directory = tempfile.mkdtemp(prefix="zoetrope-deaf-")
    ensemble = members.Ensemble(directory, [o.kind] * 3, port=o.port)
    two = ensemble.members[:2]
    worst = 0
    try:
        for member in two:
            member.start()
        ensemble.await_serving(two)
        leader = ensemble.leader()

        def measure(what, act):
            nonlocal worst
            before = memory(leader)
            taken = act()
            grown = memory(leader) - before
            worst = max(worst, grown)
            print("%-45s %9d taken, %7d KiB more" % (what, taken, grown), flush=True)

        address = b"127.0.0.1:%d" % ensemble.member(ME).election
        follower = follow(leader)
        question = packet(REVALIDATE, -1, struct.pack(">qi", 5, 4000)) * 1000
        follower.settimeout(1)
        measure("asked about sessions, answers not read", lambda: flood(follower, question, 1000, o.seconds))
        measure("voted, answers not read", lambda: votes(leader, address, o.seconds))
        roles = ensemble.await_serving(two, wait=10)
    except Exception:
        print(ensemble.tails())
        raise
    finally:
        ensemble.stop()
        shutil.rmtree(directory, ignore_errors=True)
    passed = worst <= LIMIT_KIB
    print("%s: %s, the others are %s" % (o.kind, "bounded" if passed else "NOT bounded", sorted(roles.values())))
    sys.exit(0 if passed else 1)


if __name__ == "__main__":
    main()
