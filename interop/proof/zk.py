"""A small client of the ZooKeeper protocol for the proofs, and the server under proof.

Written apart from the server's own codec; pipelining is explicit: `send` and `receive` do not wait for each other.
"""
import os
import resource
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
REPO = os.path.dirname(os.path.dirname(HERE))

CREATE, DELETE, EXISTS, GET_DATA, SET_DATA, GET_CHILDREN, PING, GET_CHILDREN2, CHECK, MULTI, CREATE2 = (
    1, 2, 3, 4, 5, 8, 11, 12, 13, 14, 15)
SET_ACL, MULTI_READ, ADD_WATCH, CLOSE = 7, 22, 106, -11
OK, SYSTEM_ERROR, NO_NODE, NODE_EXISTS = 0, -1, -101, -110
EPHEMERAL, SEQUENTIAL = 1, 2
WORLD = struct.pack(">ii", 1, 31) + struct.pack(">i5si6s", 5, b"world", 6, b"anyone")


def buf(value):
    value = value.encode() if isinstance(value, str) else value
    return struct.pack(">i", len(value)) + value


def frame(body):
    return struct.pack(">i", len(body)) + body


def create(path, data, flags=0):
    return buf(path) + buf(data) + WORLD + struct.pack(">i", flags)


def set_data(path, data, version=-1):
    return buf(path) + buf(data) + struct.pack(">i", version)


def delete(path, version=-1):
    return buf(path) + struct.pack(">i", version)


def read(path, watch=False):
    return buf(path) + bytes([watch])


def multi(ops):
    """`ops`: pairs of operation and body."""
    out = b"".join(struct.pack(">i?i", op, False, -1) + body for op, body in ops)
    return out + struct.pack(">i?i", -1, True, -1)


class Reply:
    def __init__(self, body):
        self.xid, self.zxid, self.error = struct.unpack_from(">iqi", body)
        self.body = body[16:]

    def buffer(self, at=0):
        length, = struct.unpack_from(">i", self.body, at)
        return self.body[at + 4:at + 4 + max(length, 0)]

    def strings(self):
        count, = struct.unpack_from(">i", self.body)
        at, out = 4, []
        for _ in range(count):
            text = self.buffer(at)
            out.append(text.decode())
            at += 4 + len(text)
        return out


class Client:
    def __init__(self, port, timeout_ms=30000, session=0, password=b"\0" * 16, wait=30):
        self.socket = socket.create_connection(("127.0.0.1", port), wait)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.input = bytearray()
        self.xid = 0
        self.socket.sendall(frame(struct.pack(">iqiq", 0, 0, timeout_ms, session) + buf(password) + b"\0"))
        body = self.take()
        _, self.timeout, self.session = struct.unpack_from(">iiq", body)
        self.password = body[20:36]
        if self.timeout <= 0:
            self.socket.close()
            raise ConnectionError("session refused")

    def take(self):
        """The next frame; waits for it."""
        while True:
            if len(self.input) >= 4:
                length, = struct.unpack_from(">i", self.input)
                if len(self.input) >= 4 + length:
                    body = bytes(self.input[4:4 + length])
                    del self.input[:4 + length]
                    return body
            piece = self.socket.recv(1 << 16)
            if not piece:
                raise ConnectionError("closed by the server")
            self.input += piece

    def encode(self, op, body=b""):
        self.xid += 1
        return frame(struct.pack(">ii", self.xid, op) + body)

    def send(self, op, body=b""):
        self.socket.sendall(self.encode(op, body))
        return self.xid

    def receive(self):
        """The next reply that is neither an event nor an answer to a ping."""
        while True:
            reply = Reply(self.take())
            if reply.xid >= 0:
                return reply

    def ask(self, op, body=b""):
        self.send(op, body)
        return self.receive()

    def close(self):
        try:
            self.ask(CLOSE)
        except OSError:
            pass
        self.socket.close()


class Server:
    """Zoetrope on a directory of its own, which can be killed and started again."""

    def __init__(self, port, lines=(), prefix=(), data=None, descriptors=None):
        self.port = port
        self.descriptors = descriptors
        self.dir = tempfile.mkdtemp(prefix="zoetrope-proof-")
        self.data = data or os.path.join(self.dir, "data")
        os.makedirs(self.data, exist_ok=True)
        self.config = os.path.join(self.dir, "zoo.cfg")
        self.log = os.path.join(self.dir, "log")
        self.prefix = list(prefix)
        self.process = None
        settings = ["tickTime=1000", "dataDir=" + self.data, "clientPort=%d" % port, "clientPortAddress=127.0.0.1",
                    "maxClientCnxns=0", "minSessionTimeout=1000", "maxSessionTimeout=60000", "admin.enableServer=false",
                    "4lw.commands.whitelist=*", *lines]
        with open(self.config, "w") as f:
            f.write("\n".join(settings) + "\n")

    def command(self):
        binary = os.environ.get("ZOETROPE", os.path.join(REPO, "target", "release", "zoetrope"))
        return [binary, "server", "--config", self.config]

    def limit(self):
        if self.descriptors:
            resource.setrlimit(resource.RLIMIT_NOFILE, (self.descriptors, self.descriptors))

    def start(self, wait=60):
        with open(self.log, "a") as log:
            self.process = subprocess.Popen(self.prefix + self.command(), stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, start_new_session=True, preexec_fn=self.limit)
        until = time.time() + wait
        while time.time() < until:
            if self.process.poll() is not None:
                break
            try:
                if "Mode:" in self.word("srvr"):
                    return self
            except OSError:
                time.sleep(0.01)
        with open(self.log) as f:
            fail("the server did not start:\n" + f.read()[-3000:])

    def word(self, text):
        with socket.create_connection(("127.0.0.1", self.port), 10) as s:
            s.sendall(text.encode())
            out = b""
            while True:
                piece = s.recv(65536)
                if not piece:
                    return out.decode(errors="replace")
                out += piece

    def pid(self):
        """The server itself, not a tracer in front of it."""
        if not self.prefix:
            return self.process.pid
        with open("/proc/%d/task/%d/children" % (self.process.pid, self.process.pid)) as f:
            return int(f.read().split()[0])

    def memory(self, line="VmRSS"):
        with open("/proc/%d/status" % self.pid()) as f:
            return next(int(row.split()[1]) / 1024 for row in f if row.startswith(line + ":"))

    def kill(self, sig=signal.SIGKILL):
        os.kill(self.pid(), sig)
        self.process.wait(60)

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def remove(self):
        if self.alive():
            self.kill()
        shutil.rmtree(self.dir, ignore_errors=True)


def fail(text):
    sys.exit("FAILED: " + text)
