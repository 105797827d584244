"""Random sequences of requests: every operation, every mode, every kind of mistake. The same seed, the same sequence."""
import base64
import hashlib

from jute import MULTI_END, OPS, acl, b, buf, i, multi_header, q, s, vec


def digest(secret):
    return secret.split(":")[0] + ":" + base64.b64encode(hashlib.sha1(secret.encode()).digest()).decode()


NAMES = ["a", "b", "c", "d"]
ODD = ["", "a", "/a/", "//", "/a//b", "/.", "/a/..", "/x\u0001", "/\U0001f600", "/\ufffd", "/ä", "/a b", "/\u007f",
       "/\ue000", "/a/./b", "/nul\0", "nul\0", None]
SPECIAL = ["/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config"]
OPEN = [(31, "world", "anyone")]
DATA = [None, b"", b"x", b"hello", b"0" * 100, b"1" * 3000]
SECRETS = ["u1:p1", "u2:p2", "nocolon", "super:test"]


class Generator:
    def __init__(self, rng, quotas):
        self.rng = rng
        self.quotas = quotas
        self.last_zxid = 0
        self.multi_creates = None  # names of the kinds of create within a multi; None for all

    def path(self, depth=3, odd=0.03):
        r = self.rng.random()
        if r < odd:
            return self.rng.choice(ODD)
        if r < odd + 0.04:
            return self.rng.choice(SPECIAL)
        return "".join("/" + self.rng.choice(NAMES) for _ in range(self.rng.randint(1, depth)))

    def some_path(self):
        return self.path() or "/a"

    def version(self):
        return self.rng.choice([-1, -1, -1, -1, 0, 1, 2, 7])

    def acl(self):
        r = self.rng.random()
        if r < 0.75:
            return OPEN
        return self.rng.choice([
            [(1, "world", "anyone")], [(31, "digest", digest("u1:p1"))], [(31, "auth", "")], [(5, "auth", None)],
            [(31, "ip", "127.0.0.1")], [(31, "ip", "127.0.0.0/8")], [(31, "ip", "10.0.0.0/33")], [(31, "ip", "x")],
            [(31, "digest", "nocolon")], [(31, "digest", "a:b:c")], [(31, "digest", "a:")], [(31, "sasl", "bob")],
            [(31, "x509", "CN=a")], [(31, "super", "")], [(31, None, "anyone")], [(31, "world", None)],
            [(31, "digest", None)], [(31, "ip", None)], [(31, "world", "me")], [], None, OPEN + OPEN, [(0, "world", "anyone")],
            [(63, "world", "anyone")], [(29, "world", "anyone"), (31, "digest", digest("u2:p2"))],
            [(27, "world", "anyone")], [(23, "world", "anyone")], [(30, "world", "anyone")], [(31, "nope", "x")],
        ])

    def create(self, name=None):
        name = name or self.rng.choice(["create"] * 5 + ["create2"] * 3 + ["createContainer", "createTTL"])
        op = OPS[name]
        flags = self.rng.choice([0] * 8 + [1, 1, 2, 2, 3, 4])
        ttl = -1
        if name == "createTTL":
            flags = self.rng.choice([5, 5, 5, 6])
            ttl = self.rng.choice([1, 1000, 3600000, 2 ** 40 - 1, 2 ** 40, 0, -5]) if self.rng.random() < 0.4 else 3600000
            if self.rng.random() < 0.1:
                flags, ttl = self.rng.choice([(0, 5), (2, 5), (7, 5), (4, 9)])
        elif self.rng.random() < 0.03:
            flags = self.rng.choice([5, 6, 7, -1, 99])
        path = self.path()
        if self.rng.random() < 0.05 and path:
            path = path + "/"
        entries = self.acl()
        body = s(path) + buf(self.rng.choice(DATA)) + acl(entries) + i(flags)
        text = "%s %r flags %d" % (name, path, flags) + ("" if entries == OPEN else " acl %r" % entries)
        return op, body + (q(ttl) if name == "createTTL" else b""), text

    def simple(self, name):
        r = self.rng
        p = self.path()
        op = OPS[name]
        if name in ("exists", "getData", "getChildren", "getChildren2"):
            watch = r.random() < 0.4
            return op, s(p) + b(watch), "%s %r watch=%d" % (name, p, watch)
        if name == "delete":
            v = self.version()
            return op, s(p) + i(v), "delete %r %d" % (p, v)
        if name == "setData":
            v = self.version()
            return op, s(p) + buf(r.choice(DATA)) + i(v), "setData %r %d" % (p, v)
        if name == "setACL":
            v = self.version()
            return op, s(p) + acl(self.acl()) + i(v), "setACL %r %d" % (p, v)
        if name in ("getACL", "sync", "getAllChildrenNumber", "getEphemerals"):
            if name == "getEphemerals":
                p = r.choice([None, "", " ", "/", "/a", "/b/", p])
            return op, s(p), "%s %r" % (name, p)
        if name in ("checkWatches", "removeWatches"):
            kind = r.choice([1, 2, 3, 3, 4, 5, 5, 6, 0])
            return op, s(p) + i(kind), "%s %r %d" % (name, p, kind)
        if name == "addWatch":
            mode = r.choice([0, 0, 1, 1, 1, 2, -1]) if r.random() < 0.2 else r.choice([0, 1])
            p = r.choice([p, "/", "/a", "/a/b"])
            return op, s(p) + i(mode), "addWatch %r %d" % (p, mode)
        if name in ("setWatches", "setWatches2"):
            lists = [[self.some_path() for _ in range(r.randint(0, 3))] for _ in range(5)]
            if name == "setWatches":
                lists = lists[:3]
            if r.random() < 0.05:
                lists[r.randrange(len(lists))] = None
            zxid = r.choice([0, self.last_zxid, max(0, self.last_zxid - 20), 10 ** 9])
            return op, q(zxid) + b"".join(vec(x, s) for x in lists), "%s %d %r" % (name, zxid, lists)
        if name == "reconfig":
            return op, s(r.choice([None, "server.2=h:1:2"])) + s(None) + s(None) + q(-1), "reconfig"
        if name == "sasl":
            return op, buf(r.choice([b"", b"abc"])), "sasl"
        return op, b"", name

    def sub_op(self):
        r = self.rng.random()
        if r < 0.5:
            op, body, text = self.create(self.multi_creates and self.rng.choice(self.multi_creates))
        else:
            op, body, text = self.simple(self.rng.choice(["delete", "setData"]))
            if r > 0.85:
                p = self.path()
                v = self.version()
                op, body, text = OPS["check"], s(p) + i(v), "check %r %d" % (p, v)
        return multi_header(op) + body, text

    def multi(self):
        r = self.rng.random()
        if r < 0.75:
            ops = [self.sub_op() for _ in range(self.rng.randint(0, 4))]
            return OPS["multi"], b"".join(x for x, _ in ops) + MULTI_END, "multi " + "; ".join(t for _, t in ops)
        if r < 0.95:
            parts, texts = [], []
            for _ in range(self.rng.randint(0, 4)):
                name = self.rng.choice(["getData", "getChildren"])
                p = self.path()
                parts.append(multi_header(OPS[name]) + s(p) + b(True))
                texts.append("%s %r" % (name, p))
            return OPS["multiRead"], b"".join(parts) + MULTI_END, "multiRead " + "; ".join(texts)
        kind = self.rng.choice(["multi", "multiRead"])
        read = multi_header(4) + s("/a") + b(False)
        write, _ = self.sub_op()
        body = self.rng.choice([write, read, write + read, multi_header(7) + s("/a")]) + self.rng.choice([MULTI_END, b""])
        return OPS[kind], body, "odd %s" % kind

    def request(self):
        """One request that leaves the connection open: number, body, description."""
        r = self.rng.random()
        if r < 0.28:
            return self.create()
        if r < 0.37:
            return self.multi()
        if r < 0.39:
            op, body, text = self.create() if self.rng.random() < 0.5 else self.simple(
                self.rng.choice(["setData", "getData", "setACL", "addWatch", "setWatches", "checkWatches", "delete"]))
            cut = self.rng.randint(0, len(body))
            if self.rng.random() < 0.3:
                return op, body + b"trailing", text + " + trailing bytes"
            return op, body[:cut], text + " cut to %d of %d bytes" % (cut, len(body))
        if r < 0.41:
            secret = self.rng.choice(SECRETS if self.rng.random() < 0.5 else SECRETS[:3])
            scheme = self.rng.choice(["digest", "digest", "digest", "ip"])
            return OPS["auth"], i(0) + s(scheme) + buf(secret.encode()), "auth %s %s" % (scheme, secret)
        if r < 0.43 and self.quotas:
            return self.quota()
        name = self.rng.choice(
            ["exists"] * 5 + ["getData"] * 6 + ["setData"] * 7 + ["delete"] * 6 + ["getChildren"] * 3 +
            ["getChildren2"] * 3 + ["getACL"] * 2 + ["setACL"] * 2 + ["sync", "ping", "checkWatches", "removeWatches",
            "addWatch", "addWatch", "setWatches", "setWatches2", "getEphemerals", "getAllChildrenNumber", "whoAmI",
            "reconfig", "sasl"])
        return self.simple(name)

    def quota(self):
        base = self.rng.choice(["/a", "/b", "/a/b"])
        node = "/zookeeper/quota" + base
        limits = self.rng.choice([b"count=3,bytes=-1", b"count=2,bytes=10=;byteHardLimit=200;countHardLimit=5",
                                  b"count=-1,bytes=-1=;countHardLimit=2", b"junk"])
        step = self.rng.choice([(node, b""), (node + "/zookeeper_limits", limits), (node + "/zookeeper_stats", b"count=0,bytes=0")])
        kind = self.rng.random()
        if kind < 0.6:
            return OPS["create"], s(step[0]) + buf(step[1]) + acl(OPEN) + i(0), "create quota %s" % step[0]
        if kind < 0.8:
            return OPS["getData"], s(step[0]) + b(False), "getData %s" % step[0]
        return OPS["delete"], s(step[0]) + i(-1), "delete %s" % step[0]

    def closing(self):
        """One request after which Java closes the connection."""
        r = self.rng.random()
        if r < 0.4:
            return OPS["closeSession"], b"", "closeSession"
        if r < 0.6:
            kind = self.rng.choice([0, 10, 13, -1, 23, 99, 108, 500])
            return kind, b"", "unknown operation %d" % kind
        if r < 0.8:
            scheme, secret = self.rng.choice([("world", b"x"), ("nope", b"x"), ("sasl", b"x"), ("digest", None), ("x509", b"")])
            return OPS["auth"], i(0) + s(scheme) + buf(secret), "auth %s %r" % (scheme, secret)
        return None, b"\0\0\0", "a frame too short for a header"
