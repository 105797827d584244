#!/usr/bin/env python3
"""Hostile clients for half an hour, while good clients are served.

Garbage, lengths too large, too small and negative, frames that never end, one byte at a time, half-open connections,
sessions opened and dropped, watches on one znode that fire together, readers that do not read, HTTP and TLS, short
requests with gigantic answers, endless identities, endless ACLs, more connections than descriptors. All the while two good clients write and read; every request of theirs must be answered rightly, in time, and the server's memory
must stay bounded.
"""
import argparse
import os
import random
import socket
import struct
import threading
import time

import zk

LIMIT_SECONDS = 5.0   # nobody waits longer, even on a machine with a few other things to do
LIMIT_MIB = 1024
stop = threading.Event()
counts = {}


def raw(port):
    s = socket.create_connection(("127.0.0.1", port), 5)
    s.settimeout(5)
    return s


def garbage(port, chance):
    with raw(port) as s:
        s.sendall(chance.randbytes(chance.randint(1, 5000)))


def lengths(port, chance):
    with raw(port) as s:
        s.sendall(struct.pack(">i", chance.choice([-1, -(1 << 31), 0, 7, 1 << 20, (1 << 31) - 1])) + chance.randbytes(64))
        s.recv(100)


def broken_requests(port, chance):
    """A real session, then requests cut short or with wild numbers in them."""
    client = zk.Client(port, 2000)
    for _ in range(20):
        body = chance.choice([zk.create("/x", b"d"), zk.read("/"), zk.multi([(zk.CREATE, zk.create("/y", b""))])])
        body = bytearray(body)
        for _ in range(chance.randint(1, 4)):
            body[chance.randrange(len(body))] = chance.randrange(256)
        client.send(chance.choice([1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 14, 22, 101, 105, 106, 999, -3]),
                    bytes(body[:chance.randint(0, len(body))]))
    client.socket.settimeout(1)
    client.socket.recv(1000)
    client.socket.close()


def foreign(port, chance):
    with raw(port) as s:
        s.sendall(chance.choice([b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"POST /a HTTP/1.0\r\n\r\n",
                                 bytes.fromhex("16030100a5010000a10303") + chance.randbytes(160)]))
        s.recv(1000)


def half_open(port, chance):
    s = raw(port)
    s.sendall(struct.pack(">i", 45)[:chance.randint(0, 4)])
    stop.wait(chance.uniform(0, 10))
    s.close()


def slowloris(port, chance):
    with raw(port) as s:
        for byte in zk.frame(struct.pack(">iqiq", 0, 0, 2000, 0) + zk.buf(b"\0" * 16) + b"\0"):
            s.sendall(bytes([byte]))
            if stop.wait(0.1):
                return


def churn(port, chance):
    for _ in range(20):
        client = zk.Client(port, 2000)
        if chance.random() < 0.5:
            client.ask(zk.CREATE, zk.create("/hostile/s-", b"", zk.EPHEMERAL | zk.SEQUENTIAL))
        client.close() if chance.random() < 0.5 else client.socket.close()


def storm(port, chance):
    """Many watches on one znode, fired together; half of the watchers do not read."""
    clients = [zk.Client(port, 4000) for _ in range(20)]
    for client in clients:
        client.ask(zk.ADD_WATCH, zk.buf("/hostile") + struct.pack(">i", 1))
    for i in range(50):
        clients[0].send(zk.SET_DATA, zk.set_data("/hostile", b"%d" % i))
    for _ in range(50):
        clients[0].receive()
    for client in clients:
        client.socket.close()


def slow_reader(port, chance):
    """Asks for far more than it reads."""
    client = zk.Client(port, 10000)
    client.socket.setblocking(False)
    request = b"".join(client.encode(zk.GET_DATA, zk.read("/large")) for _ in range(500))
    try:
        client.socket.send(request)
    except BlockingIOError:
        pass
    stop.wait(chance.uniform(1, 8))
    client.socket.close()


def flood(port, chance):
    """Large writes, as many as fit, without waiting."""
    client = zk.Client(port, 4000)
    for _ in range(5):
        client.send(zk.SET_DATA, zk.set_data("/hostile/flood", chance.randbytes(200000)))
    for _ in range(5):
        client.receive()
    client.close()


def amplify(port, chance):
    """A short multiRead that asks for a gigabyte."""
    client = zk.Client(port, 4000)
    op = struct.pack(">i?i", zk.GET_DATA, False, -1) + zk.read("/large")
    client.send(zk.MULTI_READ, op * 2000 + struct.pack(">i?i", -1, True, -1))
    client.receive()
    client.close()


def identities(port, chance):
    """Proves to be somebody else again and again, by long names; then an ACL that stands for all of them many times."""
    client = zk.Client(port, 4000)
    for n in range(chance.randint(1, 200)):
        secret = b"%d" % chance.getrandbits(60) + b"x" * chance.choice([1, 100, 50000]) + b":p"
        client.socket.sendall(zk.frame(struct.pack(">iii", -4, 100, 0) + zk.buf("digest") + zk.buf(secret)))
        client.take()
    entries = b"".join(struct.pack(">i", n) + zk.buf("auth") + zk.buf("") for n in range(50000))
    client.ask(zk.SET_ACL, zk.buf("/hostile/acl") + struct.pack(">i", 50000) + entries + struct.pack(">i", -1))
    client.socket.close()


LONG_ACL = b"".join(struct.pack(">i", 31) + zk.buf("ip") + zk.buf("%d.%d.%d.1" % (1 + n % 200, n // 200 % 200, n // 40000))
                    for n in range(40000))


def long_acl(port, chance):
    client = zk.Client(port, 4000)
    client.ask(zk.SET_ACL, zk.buf("/hostile/acl") + struct.pack(">i", 40000) + LONG_ACL + struct.pack(">i", -1))
    client.close()


KINDS = [garbage, lengths, broken_requests, foreign, half_open, slowloris, churn, storm, slow_reader, flood, amplify,
         identities, long_acl]


def few_descriptors(port):
    """Clients take every descriptor they get; files must still be opened."""
    server = zk.Server(port, ["snapCount=50"], descriptors=120).start()
    crowd = []
    try:
        client = zk.Client(port)
        client.ask(zk.CREATE, zk.create("/a", b""))
        crowd = [raw(port) for _ in range(300)]
        for n in range(400):
            if client.ask(zk.SET_DATA, zk.set_data("/a", b"%d" % n)).error:
                zk.fail("hostile: with few descriptors a write failed")
        if not server.alive():
            zk.fail("hostile: the server ended for want of descriptors")
        print("hostile: 300 connections on 120 descriptors leave enough for the files", flush=True)
    except OSError as error:
        zk.fail("hostile: with few descriptors: %r; alive: %s" % (error, server.alive()))
    finally:
        for s in crowd:
            s.close()
        server.remove()


def enemy(port, kind, seed):
    chance = random.Random(seed)
    while not stop.is_set():
        try:
            kind(port, chance)
        except (OSError, struct.error):
            pass
        counts[kind.__name__] = counts.get(kind.__name__, 0) + 1
        # Hostile, but not a contest of who has more CPU.
        stop.wait(0.05)


class Good(threading.Thread):
    """Writes and reads its own znode; remembers what went wrong and how long it waited at most."""

    def __init__(self, port, index):
        super().__init__(daemon=True)
        self.port, self.path = port, "/good%d" % index
        self.done, self.waits, self.problem = 0, [], None

    def run(self):
        try:
            client = zk.Client(self.port, 30000)
            client.ask(zk.CREATE, zk.create(self.path, b""))
            while not stop.is_set():
                value = b"%d" % self.done
                started = time.time()
                wrote = client.ask(zk.SET_DATA, zk.set_data(self.path, value))
                read = client.ask(zk.GET_DATA, zk.read(self.path))
                self.waits.append(time.time() - started)
                if wrote.error or read.error or read.buffer() != value:
                    self.problem = "%d, %d, %r instead of %r" % (wrote.error, read.error, read.buffer(), value)
                    return
                self.done += 1
                time.sleep(0.01)
            client.close()
        except OSError as error:
            self.problem = repr(error)


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--seconds", type=float)
    a.add_argument("--quick", action="store_true")
    a.add_argument("--port", type=int, default=28400)
    a.add_argument("--seed", type=int, default=int(time.time()))
    o = a.parse_args()
    seconds = o.seconds or (30 if o.quick else 1800)
    print("hostile: %.0f s, --seed %d" % (seconds, o.seed), flush=True)
    few_descriptors(o.port)
    server = zk.Server(o.port, ["snapCount=5000", "zoetrope.outputTotal=64m"]).start()
    try:
        client = zk.Client(o.port)
        client.ask(zk.CREATE, zk.create("/hostile", b""))
        client.ask(zk.CREATE, zk.create("/hostile/flood", b""))
        client.ask(zk.CREATE, zk.create("/hostile/acl", b""))
        client.ask(zk.CREATE, zk.create("/large", os.urandom(500000)))
        client.close()
        good = [Good(o.port, i) for i in range(2)]
        for g in good:
            g.start()
        for index, kind in enumerate(KINDS * 2):
            threading.Thread(target=enemy, args=(o.port, kind, o.seed + index), daemon=True).start()
        began, peak, told = time.time(), 0.0, time.time()
        while time.time() - began < seconds:
            time.sleep(0.5)
            if not server.alive():
                with open(server.log) as f:
                    zk.fail("hostile: the server ended:\n" + f.read()[-3000:])
            peak = max(peak, server.memory())
            for g in good:
                if g.problem:
                    zk.fail("hostile: a good client was not served: " + g.problem)
            if peak > LIMIT_MIB:
                zk.fail("hostile: %.0f MiB are resident" % peak)
            if time.time() - told > 300:
                told = time.time()
                print("hostile: %.0f s, %.0f MiB, %d good requests, %s" % (
                    told - began, peak, sum(g.done for g in good), counts), flush=True)
        stop.set()
        for g in good:
            g.join(30)
        waits = sorted(w for g in good for w in g.waits)
        for g in good:
            if g.problem or g.is_alive():
                zk.fail("hostile: a good client was not served: %s" % g.problem)
        if waits[-1] > LIMIT_SECONDS or len(waits) < seconds * 2:
            zk.fail("hostile: good clients waited up to %.2f s, %d requests" % (waits[-1], len(waits)))
        if len(counts) < len(KINDS):
            zk.fail("hostile: not every kind of enemy came: %s" % counts)
        print("hostile: passed: %d good pairs of requests, median %.1f ms, p99 %.1f ms, longest %.0f ms; "
              "peak %.0f MiB; enemies: %s" % (
                  len(waits), waits[len(waits) // 2] * 1e3, waits[len(waits) * 99 // 100] * 1e3, waits[-1] * 1e3,
                  peak, counts))
    finally:
        stop.set()
        server.remove()


if __name__ == "__main__":
    main()
