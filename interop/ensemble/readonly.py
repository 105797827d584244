#!/usr/bin/env python3
"""Read-only mode, seen from outside: two of three servers are killed, the third answers whoever can do without writing, and
ends that when the others are back. The same with Zoetrope and with Java, side by side.

  readonly.py [--kinds zoetrope,java39] [--port P] [--dir DIR]

Prints what each did. Exits 1 when they differ in anything but what DIFFERENCES names, or when something does not come.
"""
import struct
import time

import facts
import zkclient
from facts import Raw, closes, password, until
from zkclient import zk

# What Java does otherwise, and why ours is meant to be so.
DIFFERENCES = {
    "closeSession": "Java closes the connection without an answer, ours with one",
}


class Run(facts.Run):
    def __init__(self, kind, directory, port):
        # Java opens sessions without a quorum only where there are local ones.
        local = ["localSessionsEnabled=true", "localSessionsUpgradingEnabled=true"] if kind.startswith("java") else []
        super().__init__(kind, directory, port, ["readonlymode.enabled=true"] + local, ["readonlymode.enabled=true"])

    def summary(self):
        return "read-only %.1f s after the kill; its clients are sent away %.1f s after the others start" % (
            self.waited, self.back_after)

    def story(self):
        leader = self.ensemble.leader()
        survivor, other = [m for m in self.ensemble.members if m is not leader]
        writer = Raw(survivor.client, read_only=True)
        self.fact("with a quorum", writer.told())
        self.fact("isro with a quorum", survivor.word("isro"))
        self.fact("with a quorum, create", writer.ask(zk.CREATE, zk.create("/a", b"one"))[0])
        # An ephemeral znode makes a session one of the whole ensemble where it was not before.
        error, seen, _ = writer.ask(zk.CREATE, zk.create("/e", b"", zk.EPHEMERAL))
        self.fact("with a quorum, create an ephemeral", error)
        error, seen, _ = writer.ask(zk.SET_DATA, zk.set_data("/a", b"two"))
        leader.kill()
        other.kill()
        at = time.time()
        self.fact("the connection of a writer", "closed" if closes(writer, 15) else "open")
        until("isro says ro", 20, lambda: survivor.word("isro") == "ro")
        self.waited = time.time() - at
        self.words(survivor)
        self.sessions(survivor, writer, seen)
        self.requests(survivor, seen)
        self.back(survivor, [leader, other], seen)

    def words(self, member):
        for word in ("srvr", "stat"):
            lines = member.word(word).splitlines()
            self.fact(word + ", line 2", lines[1] if len(lines) > 1 else None)
            self.fact(word + ", mode", [line for line in lines if line.startswith("Mode")])
        page = dict(line.split("\t", 1) for line in member.word("mntr").splitlines() if "\t" in line)
        for key in ("zk_global_sessions", "zk_local_sessions", "zk_ephemerals_count", "zk_server_state", "zk_peer_state", "zk_quorum_size", "zk_learners", "zk_synced_observers"):
            self.fact("mntr " + key, page.get(key))
        self.fact("ruok", member.word("ruok"))
        self.fact("conf has a membership", "membership" in member.word("conf"))

    def sessions(self, member, writer, seen):
        port = member.client
        for flag in (False, None):
            self.fact("a client with readOnly %s" % flag, Raw(port, read_only=flag).told())
        self.fact("a client that has seen more", Raw(port, seen=seen + 1).told())
        self.fact("a client that has seen as much", Raw(port, seen=seen).told())
        self.fact("the writer's session", Raw(port, writer.session, writer.password).told())
        self.fact("the writer's session, wrong password", Raw(port, writer.session, b"x" * 16).told())
        self.fact("an unknown session, wrong password", Raw(port, writer.session + 7, b"x" * 16).told())
        unknown = writer.session + 7
        self.fact("an unknown session with its right password", Raw(port, unknown, password(unknown)).told())
        one = Raw(port)
        self.fact("a new session", one.told())
        self.fact("its top byte", (one.session >> 56) == member.sid)
        two = Raw(port, one.session, one.password)
        self.fact("the session again", two.told() + (", the same" if two.session == one.session else ", another"))
        self.fact("its former connection", "closed" if closes(one, 3) else "open")
        self.fact("the session, wrong password", Raw(port, one.session, b"x" * 16).told())
        self.fact("closeSession", two.ask(zk.CLOSE)[0])
        self.fact("its connection", "closed" if closes(two, 3) else "open")
        short = Raw(port, timeout_ms=500)
        self.fact("a silent session", "expires" if closes(short, 6) else "lives")

    def requests(self, member, seen):
        conn = Raw(member.client, seen=seen)

        def show(what, op, body=b"", keep=True):
            error, zxid, answer = conn.ask(op, body)
            self.fact(what, "%s, zxid %s, %s" % (error, "as written" if zxid == seen else hex(zxid),
                                                 answer[:24].hex() if keep else "%d bytes" % len(answer)))

        path = zk.buf("/a")
        show("getData", zk.GET_DATA, zk.read("/a"), keep=False)
        self.fact("the data", conn.ask(zk.GET_DATA, zk.read("/a"))[2][4:7])
        show("getData with a watch", zk.GET_DATA, zk.read("/a", True), keep=False)
        show("exists, missing, with a watch", zk.EXISTS, zk.read("/none", True))
        show("getChildren", zk.GET_CHILDREN, zk.read("/"), keep=False)
        show("getChildren2", zk.GET_CHILDREN2, zk.read("/"), keep=False)
        show("getACL", zkclient.GET_ACL, path, keep=False)
        show("getEphemerals", 103, zk.buf(""))
        show("getAllChildrenNumber", 104, zk.buf("/"))
        show("whoAmI", 107, keep=False)
        show("multiRead", zk.MULTI_READ, struct.pack(">i?i", zk.GET_DATA, False, -1) + zk.read("/a")
             + struct.pack(">i?i", -1, True, -1), keep=False)
        show("addWatch", zk.ADD_WATCH, path + struct.pack(">i", 0))
        show("checkWatches", 17, path + struct.pack(">i", 3))
        show("removeWatches", 18, path + struct.pack(">i", 3))
        show("setWatches", 101, struct.pack(">qiii", seen, 0, 0, 0))
        show("ping", zk.PING)
        refused = [
            ("sync", zkclient.SYNC, path), ("create", zk.CREATE, zk.create("/b", b"")),
            ("create2", zk.CREATE2, zk.create("/b", b"")), ("createContainer", 19, zk.create("/b", b"", 4)),
            ("createTTL", 21, zk.create("/b", b"", 5) + struct.pack(">q", 1000)),
            ("create, already there", zk.CREATE, zk.create("/a", b"")), ("delete", zk.DELETE, zk.delete("/a")),
            ("deleteContainer", 20, path), ("setData", zk.SET_DATA, zk.set_data("/a", b"no")),
            ("setData, bad version", zk.SET_DATA, zk.set_data("/a", b"no", 99)),
            ("setData, undecodable", zk.SET_DATA, b"\0"),
            ("setACL", zk.SET_ACL, path + zk.WORLD + struct.pack(">i", -1)),
            ("multi", zk.MULTI, zk.multi([(zk.CREATE, zk.create("/b", b""))])), ("empty multi", zk.MULTI, zk.multi([])),
            ("reconfig", 16, zk.buf("") * 3 + struct.pack(">q", -1)),
        ]
        for what, op, body in refused:
            show(what, op, body)
            if conn.ask(zk.EXISTS, zk.read("/b"))[0] != zk.NO_NODE:
                raise AssertionError("%s: /b exists" % what)
        other = Raw(member.client, seen=seen)
        self.fact("check outside a multi", "%s, zxid %s" % other.ask(zk.CHECK, path + struct.pack(">i", -1))[:2])
        self.fact("its connection afterwards", "closed" if closes(other, 3) else "open")
        self.fact("the data, afterwards", conn.ask(zk.GET_DATA, zk.read("/a"))[2][4:7])
        self.conn = conn

    def back(self, survivor, gone, seen):
        at = time.time()
        for member in gone:
            member.start()
        self.fact("with a quorum again, the read-only connection", "closed" if closes(self.conn, 30) else "open")
        self.back_after = time.time() - at
        self.ensemble.await_serving()
        self.fact("with a quorum again, isro", survivor.word("isro"))
        self.fact("with a quorum again, the read-only session", Raw(survivor.client, self.conn.session, self.conn.password, seen).told())
        for member in self.ensemble.members:
            # A server that has joined later may not have applied all yet.
            until("the data are there", 10, lambda: Raw(member.client, seen=seen).welcome)
        conn = Raw(survivor.client, seen=seen)
        self.fact("with a quorum again, a new session", conn.told())
        self.fact("with a quorum again, the data", conn.ask(zk.GET_DATA, zk.read("/a"))[2][4:7])
        self.fact("with a quorum again, setData", conn.ask(zk.SET_DATA, zk.set_data("/a", b"six"))[0])
        self.fact("with a quorum again, sync", conn.ask(zkclient.SYNC, zk.buf("/a"))[0])
        self.fact("with a quorum again, srvr, line 2", survivor.word("srvr").splitlines()[1].split(":")[0])


if __name__ == "__main__":
    facts.side_by_side(__doc__, Run, "zoetrope,java39", 23400, DIFFERENCES)
