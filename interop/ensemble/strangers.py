#!/usr/bin/env python3
"""Strangers at the ports for other servers must not cost an ensemble its service, its memory or its epochs.

  strangers.py [--seconds 6] [--port P]

Three Zoetrope servers with few descriptors are written to, and roll their logs all the time, while strangers from many
addresses keep as many connections to the quorum and election ports as they get, and leave packets unfinished; and
strangers from one address send garbage, greetings of every epoch, and votes for nobody. Exits 1 when a server ends,
when writes stand still, when a server takes more than LIMIT, or when the ensemble has more elections than it needed.
"""
import argparse
import multiprocessing
import random
import resource
import shutil
import socket
import struct
import sys
import tempfile
import threading
import time

import deaf
import members
import zkclient

LIMIT_KIB = 96 << 10
DESCRIPTORS = 140
FOLLOWERINFO, OBSERVERINFO, ACK, ACKEPOCH = 11, 16, 3, 18
EPOCHS = [-(1 << 31), -1, 0, 1, 2, (1 << 30), (1 << 31) - 2, (1 << 31) - 1]


def crowd(ports, source, seconds):
    """Keeps what it gets, of each address, and opens more."""
    until, kept = time.time() + seconds, []
    unfinished = struct.pack(">iqi", FOLLOWERINFO, 0, 2_000_000) + b"x" * 100_000
    while time.time() < until:
        sock = socket.socket()
        try:
            sock.settimeout(0.2)
            sock.bind(("127.0.%d.%d" % (source, 1 + len(kept) % 250), 0))
            sock.connect(("127.0.0.1", random.choice(ports)))
            sock.setblocking(False)
            kept.append(sock)
            sock.send(random.choice([b"", unfinished]))
        except OSError:
            time.sleep(0.01)
        if len(kept) > DESCRIPTORS // 2:
            kept.pop(0).close()


def greeting(chance):
    """Somebody whom nobody knows, at any stage of an acquaintance."""
    kind, sid = chance.choice([FOLLOWERINFO, OBSERVERINFO]), chance.choice([99, -1, 1 << 40])
    out = deaf.packet(kind, chance.choice(EPOCHS) << 32, struct.pack(">qiq", sid, 0x10000, 0))
    out += deaf.packet(ACKEPOCH, chance.choice([0, -1, 1 << 62]), struct.pack(">i", chance.choice([-1, 0, 9])))
    return out + deaf.packet(chance.randint(0, 20), chance.choice([0, -1, 1 << 32, 1 << 62]), chance.randbytes(30))


def stranger(ensemble, seconds, seed):
    chance, until = random.Random(seed), time.time() + seconds
    while time.time() < until:
        member = chance.choice(ensemble.members)
        port = chance.choice([member.quorum, member.election])
        hello = struct.pack(">qqi", -65536, chance.choice([9, member.sid, -5]), 5) + b"a:123"
        try:
            with socket.create_connection(("127.0.0.1", port), 0.5) as sock:
                sock.sendall(chance.choice([greeting(chance), hello, chance.randbytes(500)]))
        except OSError:
            pass
        time.sleep(0.02)


def write(ensemble, done, over):
    with zkclient.Client([m.at for m in ensemble.members]) as client:
        client.create("/strangers", b"")
        while not over.is_set():
            client.set("/strangers", b"%d" % len(done))
            done.append(time.time())


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--seconds", type=float, default=6)
    a.add_argument("--port", type=int, default=23560)
    o = a.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))
    directory = tempfile.mkdtemp(prefix="zoetrope-strangers-")
    ensemble = members.Ensemble(directory, ["zoetrope"] * 3, port=o.port, cfg=["snapCount=30"])
    done, over, problem = [], threading.Event(), None
    try:
        ensemble.start()
        writer = threading.Thread(target=write, args=(ensemble, done, over), daemon=True)
        writer.start()
        ports = [port for m in ensemble.members for port in (m.quorum, m.quorum, m.quorum, m.election)]
        crowds = [multiprocessing.Process(target=crowd, args=(ports, 1 + n, o.seconds)) for n in range(14)]
        for process in crowds:
            process.start()
        for seed in range(2):
            threading.Thread(target=stranger, args=(ensemble, o.seconds, seed), daemon=True).start()
        peak, until = 0, time.time() + o.seconds
        while time.time() < until and not problem:
            time.sleep(0.2)
            for m in ensemble.members:
                if not m.alive():
                    problem = "server %d has ended" % m.sid
                else:
                    peak = max(peak, deaf.memory(m))
        for process in crowds:
            process.join()
        time.sleep(0.5)
        over.set()
        writer.join(10)
        gap = max((b - a for a, b in zip(done, done[1:])), default=o.seconds)
        roles = ensemble.await_serving(wait=10) if not problem else {}
        epochs = [open("%s/data/version-2/acceptedEpoch" % m.dir).read() for m in ensemble.members]
        print("strangers: %d writes, longest gap %.2f s, peak %d KiB, epochs %s, %s"
              % (len(done), gap, peak, epochs, sorted(roles.values())), flush=True)
        if gap > 5 or len(done) < 50:
            problem = problem or "writes stood still"
        if peak > LIMIT_KIB:
            problem = problem or "memory is not bounded"
        if any(int(epoch) > 3 for epoch in epochs):
            problem = problem or "strangers brought on elections"
    except Exception:
        print(ensemble.tails())
        raise
    finally:
        over.set()
        if problem:
            print(ensemble.tails())
        ensemble.stop()
        shutil.rmtree(directory, ignore_errors=True)
    print("strangers: " + (problem or "passed"))
    sys.exit(1 if problem else 0)


if __name__ == "__main__":
    main()
