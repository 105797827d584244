#!/usr/bin/env python3
"""The server is stopped for 30 s under 1,000 sessions whose clients stay alive: none of the sessions is lost.

Each session has a timeout of 6 to 10 s and an ephemeral znode; its client goes on sending pings into the socket while
nobody answers. Afterwards every connection is still answered, every ephemeral is still there, and a session that nobody
pings any more still expires.
"""
import argparse
import resource
import selectors
import signal
import os
import struct
import time

import zk

PING = zk.frame(struct.pack(">ii", -2, zk.PING))


def pump(clients, seconds):
    """Pings for everybody every second; answers are thrown away."""
    selector = selectors.DefaultSelector()
    for client in clients:
        client.socket.setblocking(False)
        selector.register(client.socket, selectors.EVENT_READ)
    until, next_ping, gone = time.time() + seconds, 0, 0
    while time.time() < until:
        if time.time() >= next_ping:
            next_ping = time.time() + 1
            for client in clients:
                try:
                    client.socket.send(PING)
                except OSError:
                    gone += 1
        for key, _ in selector.select(0.1):
            try:
                if not key.fileobj.recv(65536):
                    gone += 1
                    selector.unregister(key.fileobj)
            except BlockingIOError:
                pass
            except OSError:
                gone += 1
                selector.unregister(key.fileobj)
    for client in clients:
        client.socket.setblocking(True)
        client.socket.settimeout(20)
        client.input.clear()
    return gone


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--seconds", type=float, help="how long the server is stopped")
    a.add_argument("--sessions", type=int)
    a.add_argument("--quick", action="store_true", help="the whole proof takes a minute; this is the same")
    a.add_argument("--port", type=int, default=28300)
    o = a.parse_args()
    seconds, count = o.seconds or 30, o.sessions or 1000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))
    server = zk.Server(o.port).start()
    try:
        clients = []
        # On a busy machine all of this takes longer than a session may be silent.
        for i in range(count):
            clients.append(zk.Client(o.port, 6000 + 4 * (i % 1000)))
            if i % 100 == 0:
                pump(clients, 0.2)
        for i, client in enumerate(clients):
            reply = client.ask(zk.CREATE, zk.create("/e%d" % i, b"", zk.EPHEMERAL))
            if reply.error != zk.OK:
                zk.fail("stall: create answered %d" % reply.error)
            if i % 100 == 0:
                pump(clients, 0.2)
        if pump(clients, 2):
            zk.fail("stall: connections were lost before the server was stopped")
        os.kill(server.pid(), signal.SIGSTOP)
        print("stall: %d sessions of 6 to 10 s; the server is stopped for %.0f s" % (count, seconds), flush=True)
        pump(clients, seconds)
        os.kill(server.pid(), signal.SIGCONT)
        gone = pump(clients, 12)
        if gone:
            zk.fail("stall: %d connections were lost" % gone)
        # A partial frame may have been thrown away by the pump; a new connection to each session tells for sure.
        for i, client in enumerate(clients):
            client.socket.close()
            again = zk.Client(o.port, 6000, client.session, client.password)
            reply = again.ask(zk.EXISTS, zk.read("/e%d" % i))
            if again.session != client.session or reply.error != zk.OK:
                zk.fail("stall: session %d or its ephemeral is gone (%d)" % (i, reply.error))
            clients[i] = again
        watcher = zk.Client(o.port)
        pump([watcher], 12)
        left = [n for n in watcher.ask(zk.GET_CHILDREN, zk.read("/")).strings() if n.startswith("e")]
        if left:
            zk.fail("stall: %d sessions that nobody pings did not expire" % len(left))
        print("stall: passed: all %d sessions and ephemerals survived, and expired when their clients fell silent" % count)
    finally:
        if server.alive():
            os.kill(server.pid(), signal.SIGCONT)
        server.remove()


if __name__ == "__main__":
    main()
