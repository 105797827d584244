"""What several ensembles do under the same story, fact by fact, side by side; and one connection to a server, bare."""
import argparse
import os
import shutil
import socket
import struct
import sys
import tempfile
import threading
import time

import members
from zkclient import zk


class Raw:
    """One connection, one request at a time; never comes back by itself."""

    def __init__(self, port, session=0, password=bytes(16), seen=0, read_only=True, timeout_ms=10000):
        self.xid = 0
        self.sock = socket.create_connection(("127.0.0.1", port), 3)
        self.sock.settimeout(5)
        hello = struct.pack(">iqiq", 0, seen, timeout_ms, session) + zk.buf(password)
        self.sock.sendall(zk.frame(hello + (b"" if read_only is None else bytes([read_only]))))
        self.welcome = self.receive()
        if self.welcome:
            _, self.timeout, self.session = struct.unpack_from(">iiq", self.welcome)
            self.password = self.welcome[20:36]

    def receive(self):
        """A frame; None when the server has closed."""
        head = self.exactly(4)
        return head and self.exactly(struct.unpack(">i", head)[0])

    def exactly(self, n):
        out = b""
        while len(out) < n:
            try:
                piece = self.sock.recv(n - len(out))
            except ConnectionResetError:
                return None
            if not piece:
                return None
            out += piece
        return out

    def ask(self, op, body=b"", xid=None):
        """Error, zxid and body."""
        self.xid += 1
        self.sock.sendall(zk.frame(struct.pack(">ii", self.xid if xid is None else xid, op) + body))
        reply = self.receive()
        if reply is None:
            return "closed", 0, b""
        _, zxid, error = struct.unpack_from(">iqi", reply)
        return error, zxid, reply[16:]

    def told(self):
        """How the connect request was answered."""
        if self.welcome is None:
            return "closed without an answer"
        flag = self.welcome[36] if len(self.welcome) == 37 else None
        return "%s, %d bytes, readOnly %s" % (
            "a session" if self.timeout > 0 else "refused", len(self.welcome), flag)

    def close(self):
        self.sock.close()


def until(what, wait, test):
    deadline = time.time() + wait
    while time.time() < deadline:
        if test():
            return time.time()
        time.sleep(0.02)
    raise TimeoutError("within %d s: %s" % (wait, what))


def closes(conn, wait):
    """Does the server end this connection?"""
    conn.sock.settimeout(wait)
    try:
        return conn.sock.recv(1) == b""
    except ConnectionResetError:
        return True
    except OSError:
        return False


class Run:
    """One ensemble and what it did. `kinds` is one kind, or one for each of three members."""

    def __init__(self, kinds, directory, port, cfg=(), props=()):
        self.kinds, self.facts, self.error = kinds, [], None
        each = kinds.split("+") if "+" in kinds else [kinds] * 3
        self.ensemble = members.Ensemble(directory, each, port=port, cfg=cfg, props=props)

    def fact(self, what, result):
        assert what not in dict(self.facts), "two facts are called %r" % what
        self.facts.append((what, str(result)))

    def go(self):
        try:
            self.ensemble.start()
            self.story()
        except Exception as error:  # whatever it is, the other run's facts are still worth printing
            self.error = "%s: %s: %s\n%s" % (self.kinds, type(error).__name__, error, self.ensemble.tails())
        finally:
            self.ensemble.stop()

    def summary(self):
        """A line about what is not to be compared."""
        return None


def password(session):
    """As every server derives it."""
    mask, state, out = (1 << 48) - 1, 0, b""
    state = ((session & (1 << 64) - 1) ^ 0xB3415C00 ^ 0x5DEECE66D) & mask
    for _ in range(4):
        state = (state * 0x5DEECE66D + 0xB) & mask
        out += struct.pack("<I", (state >> 16) & 0xffffffff)
    return out


def side_by_side(doc, run_of, kinds, port, meant):
    """Runs the story with each of the kinds, prints what differs, and ends the process with 1 if anything does that
    `meant` does not name with a reason, by what stands behind the last colon."""
    a = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--kinds", default=kinds)
    a.add_argument("--port", type=int, default=port)
    a.add_argument("--dir")
    o = a.parse_args()
    began = time.time()
    root = tempfile.mkdtemp(prefix="zoetrope-facts-", dir=o.dir)
    runs = [run_of(kind, os.path.join(root, kind), o.port + 40 * n) for n, kind in enumerate(o.kinds.split(","))]
    threads = [threading.Thread(target=run.go) for run in runs]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        shutil.rmtree(root, ignore_errors=True)
    broken = [run.error for run in runs if run.error]
    for run in runs:
        if not run.error and run.summary():
            print("%-9s %s" % (run.kinds, run.summary()))
    differ = same = 0
    facts = [dict(run.facts) for run in runs]
    for what in dict.fromkeys(what for run in runs for what, _ in run.facts):
        said = [fact.get(what) for fact in facts]
        if all(one == said[0] for one in said):
            same += 1
            print("  same   %-45s %s" % (what, said[0]))
        elif what.split(": ")[-1] in meant and not broken:
            print("  meant  %-45s %s\n         %s" % (what, " | ".join(map(str, said)), meant[what.split(": ")[-1]]))
        else:
            differ += 1
            print("  DIFFER %-45s %s" % (what, " | ".join(map(str, said))))
    print("%s: %d facts are the same, %d differ, %.0f s" % (o.kinds, same, differ, time.time() - began))
    print("\n".join(broken), end="")
    sys.exit(1 if broken or differ else 0)
