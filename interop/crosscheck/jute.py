"""ZooKeeper's wire for the cross-check: encoding of requests, decoding of replies into comparable values."""
import struct

OPS = {"create": 1, "delete": 2, "exists": 3, "getData": 4, "setData": 5, "getACL": 6, "setACL": 7, "getChildren": 8,
       "sync": 9, "ping": 11, "getChildren2": 12, "check": 13, "multi": 14, "create2": 15, "reconfig": 16,
       "checkWatches": 17, "removeWatches": 18, "createContainer": 19, "deleteContainer": 20, "createTTL": 21,
       "multiRead": 22, "auth": 100, "setWatches": 101, "sasl": 102, "getEphemerals": 103,
       "getAllChildrenNumber": 104, "setWatches2": 105, "addWatch": 106, "whoAmI": 107, "createSession": -10,
       "closeSession": -11, "error": -1, "notification": 0}
NAMES = {n: name for name, n in OPS.items()}


def i(n):
    return struct.pack(">i", n)


def q(n):
    return struct.pack(">q", n)


def b(flag):
    return b"\1" if flag else b"\0"


def buf(data):
    return i(-1) if data is None else i(len(data)) + data


def s(text):
    return buf(None if text is None else text.encode("utf-8", "surrogatepass"))


def vec(items, enc):
    return i(-1) if items is None else i(len(items)) + b"".join(enc(x) for x in items)


def acl(entries):
    return vec(entries, lambda e: i(e[0]) + s(e[1]) + s(e[2]))


def multi_header(kind, done=False, err=-1):
    return i(kind) + b(done) + i(err)


MULTI_END = multi_header(-1, True)


def frame(payload):
    return i(len(payload)) + payload


def connect(session, password, last_zxid, timeout, read_only):
    tail = b"" if read_only is None else b(read_only)
    return frame(i(0) + q(last_zxid) + i(timeout) + q(session) + buf(password) + tail)


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, n):
        piece = self.data[self.at:self.at + n]
        if len(piece) < n:
            raise EOFError
        self.at += n
        return piece

    def i(self):
        return struct.unpack(">i", self.take(4))[0]

    def q(self):
        return struct.unpack(">q", self.take(8))[0]

    def b(self):
        return self.take(1) != b"\0"

    def buf(self):
        n = self.i()
        return None if n == -1 else self.take(n)

    def s(self):
        data = self.buf()
        if data is None:
            return None
        # Java writes characters beyond U+FFFF as two surrogates of three bytes each.
        text = data.decode("utf-8", "surrogatepass")
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

    def vec(self, dec):
        return [dec() for _ in range(self.i())]

    def rest(self):
        return self.data[self.at:]


class View:
    """What makes one server's answers comparable with another's: sessions get numbers in the order they were made."""

    def __init__(self):
        self.sessions = {0: 0}

    def session(self, sid):
        return self.sessions.setdefault(sid, len(self.sessions))

    def owner(self, sid):
        return self.sessions.get(sid, "owner 0x%x" % (sid & (2 ** 64 - 1)))

    def stat(self, r):
        czxid, mzxid, ctime, mtime = r.q(), r.q(), r.q(), r.q()
        version, cversion, aversion, owner = r.i(), r.i(), r.i(), r.q()
        length, children, pzxid = r.i(), r.i(), r.q()
        same = ctime == mtime if czxid == mzxid else mtime >= ctime or "goes back"
        return (czxid, mzxid, ctime != 0, mtime != 0, same, version, cversion, aversion, self.owner(owner), length,
                children, pzxid)

    def acl(self, r):
        # The order in which "auth" expands to identities is Java's hash order.
        return sorted(r.vec(lambda: (r.i(), r.s(), r.s())))

    def result(self, r):
        out = []
        while True:
            kind, done, err = r.i(), r.b(), r.i()
            if done:
                return out + [("end", kind, err)]
            if kind == 1:
                body = r.s()
            elif kind == 15:
                body = (r.s(), self.stat(r))
            elif kind == 5:
                body = self.stat(r)
            elif kind == 4:
                body = (r.buf(), self.stat(r))
            elif kind == 8:
                body = sorted(r.vec(r.s))
            elif kind == -1:
                body = r.i()
            else:
                body = None
            out.append((NAMES.get(kind, kind), err, body))

    def body(self, op, r):
        if not r.rest():
            return None
        try:
            if op in (1, 9):
                out = r.s()
            elif op in (15, 19, 21):
                out = (r.s(), self.stat(r))
            elif op in (3, 5, 7):
                out = self.stat(r)
            elif op in (4, 16):
                out = (r.buf(), self.stat(r))
            elif op == 6:
                out = (self.acl(r), self.stat(r))
            elif op == 8:
                out = sorted(r.vec(r.s))
            elif op == 12:
                out = (sorted(r.vec(r.s)), self.stat(r))
            elif op in (14, 22):
                out = self.result(r)
            elif op == 102:
                out = r.buf()
            elif op == 103:
                out = sorted(r.vec(r.s))
            elif op in (104, 106):
                out = r.i()
            elif op == 107:
                out = sorted(r.vec(lambda: (r.s(), r.s())))
            else:
                out = None
        except (EOFError, struct.error):
            return ("undecodable", r.data.hex())
        return (out, r.rest().hex()) if r.rest() else out
