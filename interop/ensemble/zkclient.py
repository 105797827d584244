"""A small client for the runs of this folder: reconnects to the next server by itself, knows of each write whether it
was acknowledged, and can read a whole tree. Blocking, one request at a time; many run in threads."""
import os
import socket
import struct
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "proof"))
import zk  # noqa: E402  the records

SYNC, GET_ACL = 9, 6


class Lost(Exception):
    """The connection is gone: whatever was asked may or may not have been done."""


class Refused(Exception):
    def __init__(self, error):
        super().__init__("error %d" % error)
        self.error = error


class Client:
    def __init__(self, hosts, timeout_ms=10000, patience=30.0, reply_timeout=8.0):
        self.hosts, self.timeout_ms, self.patience, self.reply_timeout = list(hosts), timeout_ms, patience, reply_timeout
        self.session, self.password, self.seen = 0, bytes(16), 0
        self.at, self.sock, self.xid = 0, None, 0
        self.connect()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def connect(self):
        """To any of the servers; with the session there is, if it lives."""
        until = time.time() + self.patience
        while True:
            host = self.hosts[self.at % len(self.hosts)]
            self.at += 1
            try:
                self.sock = socket.create_connection(host, 1.0)
                self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.sock.settimeout(self.reply_timeout)
                hello = struct.pack(">iqiq", 0, self.seen, self.timeout_ms, self.session) + zk.buf(self.password) + b"\0"
                self.sock.sendall(zk.frame(hello))
                body = self.receive()
                _, timeout, session = struct.unpack_from(">iiq", body)
                if timeout <= 0:
                    self.session, self.password = 0, bytes(16)
                    continue
                self.session, self.password = session, body[20:36]
                return
            except (OSError, Lost, struct.error):
                self.drop()
                if time.time() > until:
                    raise Lost("no server lets us in")
                if self.at % len(self.hosts) == 0:
                    time.sleep(0.02)

    def drop(self):
        if self.sock is not None:
            self.sock.close()
            self.sock = None

    def read_exactly(self, n):
        out = b""
        while len(out) < n:
            piece = self.sock.recv(n - len(out))
            if not piece:
                raise Lost("closed")
            out += piece
        return out

    def receive(self):
        try:
            length, = struct.unpack(">i", self.read_exactly(4))
            return self.read_exactly(length)
        except OSError as error:
            raise Lost(str(error))

    def ask(self, op, body):
        """One request and its reply's body. `Lost`: nobody knows; connected again. `Refused`: the server said no."""
        if self.sock is None:
            self.connect()
        self.xid += 1
        try:
            self.sock.sendall(zk.frame(struct.pack(">ii", self.xid, op) + body))
            while True:
                reply = self.receive()
                xid, zxid, error = struct.unpack_from(">iqi", reply)
                if xid == self.xid:
                    break
        except (OSError, Lost) as lost:
            self.drop()
            raise Lost(str(lost))
        if zxid > 0:
            self.seen = max(self.seen, zxid)
        if error:
            raise Refused(error)
        return reply[16:], zxid

    def create(self, path, data=b"", flags=0):
        body, zxid = self.ask(zk.CREATE, zk.create(path, data, flags))
        length, = struct.unpack_from(">i", body)
        return body[4:4 + length].decode(), zxid

    def set(self, path, data):
        return self.ask(zk.SET_DATA, zk.set_data(path, data))[1]

    def get(self, path):
        body, _ = self.ask(zk.GET_DATA, zk.read(path))
        length, = struct.unpack_from(">i", body)
        data = body[4:4 + max(0, length)]
        return data, struct.unpack_from(">qqqqiiiqiiq", body, 4 + max(0, length))

    def children(self, path):
        body, _ = self.ask(zk.GET_CHILDREN, zk.read(path))
        count, = struct.unpack_from(">i", body)
        at, names = 4, []
        for _ in range(count):
            length, = struct.unpack_from(">i", body, at)
            names.append(body[at + 4:at + 4 + length].decode())
            at += 4 + length
        return sorted(names)

    def sync(self, path):
        self.ask(SYNC, zk.buf(path))

    def walk(self, path, silent=None):
        """Every znode below and at `path`, /zookeeper left out: its data and its stat. A read that is lost is told to
        `silent`, which raises or lets it be asked again."""
        found, todo = {}, [path]
        while todo:
            at = todo.pop()
            if at == "/zookeeper":
                continue
            try:
                node, names = self.get(at), self.children(at)
            except Lost as lost:
                if silent is None:
                    raise
                silent(at, lost)
                todo.append(at)
                continue
            found[at] = node
            todo += [at.rstrip("/") + "/" + name for name in names]
        return found

    def close(self):
        if self.sock is not None:
            try:
                self.ask(zk.CLOSE, b"")
            except (Lost, Refused):
                pass
            self.drop()
