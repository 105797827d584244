#!/usr/bin/env python3
"""Local sessions, seen from outside: at a follower and at the leader, kept local or made global for an ephemeral. The same
with Java, with Zoetrope, and with a follower of the one under a leader of the other, side by side.

  sessions.py [--kinds java39,zoetrope,...] [--port P] [--dir DIR]

Prints what each did. Exits 1 when they differ in anything but what DIFFERENCES names, or when something does not come.
"""
import re
import struct

import facts
from facts import Raw, closes, until
from zkclient import zk

# What Java does otherwise, and why ours is meant to be so.
SURVIVES = "in Java a local session outlives its closeSession, which is not answered; ours ends"
DIFFERENCES = {"closeSession": SURVIVES, "after closeSession": SURVIVES, "sessions now": SURVIVES}
ZXID = re.compile(r"Zxid: 0x([0-9a-f]+)")


class Run(facts.Run):
    def __init__(self, kinds, directory, port):
        super().__init__(kinds, directory, port, ["localSessionsEnabled=true", "localSessionsUpgradingEnabled=true"])

    def zxid(self):
        """Of the last txn that anybody has applied: a follower may answer before its leader has."""
        return max(self.applied(member) for member in self.ensemble.members)

    def applied(self, member):
        return int(ZXID.search(member.word("srvr")).group(1), 16)

    def level(self, member):
        """Waits until that server has applied what anybody has."""
        until("server %d is level" % member.sid, 10, lambda: self.applied(member) >= self.zxid())

    def sessions_of(self, member):
        page = dict(line.split("\t", 1) for line in member.word("mntr").splitlines() if "\t" in line)
        return "global %s, local %s" % (page.get("zk_global_sessions"), page.get("zk_local_sessions"))

    def story(self):
        self.begin("upgraded")
        # Server 1 never leads at first: one of the others is elected by the two that start first.
        self.chapter("upgraded, at the follower", self.ensemble.member(1), True)
        self.chapter("upgraded, at the leader", self.leader, True)
        for member in self.ensemble.members:
            member.stop()
        self.ensemble.cfg = ["localSessionsEnabled=true"]
        for member in self.ensemble.members:
            member.start()
        self.begin("kept")
        self.chapter("kept, at a follower", next(m for m in self.ensemble.members if m is not self.leader), False)
        self.chapter("kept, at the leader", self.leader, False)

    def begin(self, name):
        """A first txn, so that everybody's zxids are of one epoch."""
        self.ensemble.await_serving()
        self.leader = self.ensemble.leader()
        conn = Raw(self.leader.client)
        self.fact(name + ": a first txn", conn.ask(zk.CREATE, zk.create("/" + name, b""))[0])
        for member in self.ensemble.members:
            self.level(member)

    def chapter(self, name, here, upgrading):
        elsewhere = next(m for m in self.ensemble.members if m is not here and m is not self.leader)

        def fact(what, result):
            self.fact("%s: %s" % (name, what), result)

        def cost(what, act):
            before = self.zxid()
            fact(what, act())
            self.level(here)
            fact(what + ", txns", self.zxid() - before)

        path = "/" + name.replace(" ", "").replace(",", "")
        opened = []
        cost("a new session", lambda: opened.append(Raw(here.client)) or opened[0].told())
        conn = opened[0]
        fact("sessions", self.sessions_of(here))
        fact("dump", [re.sub(r"\(.*|.*expire at.*|0x.*", "", line) for line in here.word("dump").splitlines()
                      if "Session" in line])
        cost("create", lambda: conn.ask(zk.CREATE, zk.create(path, b"one"))[0])
        cost("create, already there", lambda: conn.ask(zk.CREATE, zk.create(path, b"one"))[0])
        cost("setData", lambda: conn.ask(zk.SET_DATA, zk.set_data(path, b"two"))[0])
        cost("multi", lambda: conn.ask(zk.MULTI, zk.multi([(zk.CREATE, zk.create(path + "/a", b""))]))[0])
        fact("getData", conn.ask(zk.GET_DATA, zk.read(path, True))[2][4:7])
        self.level(elsewhere)
        fact("elsewhere", Raw(elsewhere.client, conn.session, conn.password).told())
        again = Raw(here.client, conn.session, conn.password)
        fact("here again", again.told() + (", the same" if again.session == conn.session else ", another"))
        fact("its former connection", "closed" if closes(conn, 3) else "open")
        fact("wrong password", Raw(here.client, again.session, b"x" * 16).told())
        cost("closeSession", lambda: again.ask(zk.CLOSE)[0])
        fact("its connection", "closed" if closes(again, 3) else "open")
        fact("after closeSession", Raw(here.client, again.session, again.password).told())
        short = Raw(here.client, timeout_ms=1000)
        cost("a silent session", lambda: "expires" if closes(short, 8) else "lives")
        fact("after it expired", Raw(here.client, short.session, short.password).told())
        self.ephemeral(path, here, elsewhere, upgrading, fact, cost)

    def ephemeral(self, path, here, elsewhere, upgrading, fact, cost):
        conn = Raw(here.client, timeout_ms=4000)
        cost("an ephemeral", lambda: conn.ask(zk.CREATE, zk.create(path + "/e", b"", zk.EPHEMERAL))[0])
        cost("another one", lambda: conn.ask(zk.CREATE, zk.create(path + "/f", b"", zk.EPHEMERAL))[0])
        error, _, body = conn.ask(zk.GET_DATA, zk.read(path + "/e"))
        owner = struct.unpack_from(">q", body, 4 + 44)[0] if not error and len(body) >= 56 else None
        fact("its owner", error if error else "its session" if owner == conn.session else "another")
        two = Raw(here.client, timeout_ms=4000)
        ops = [(zk.CREATE, zk.create(path + "/b", b"")), (zk.CREATE, zk.create(path + "/g", b"", zk.EPHEMERAL))]
        answer = []
        cost("a multi with an ephemeral", lambda: answer.append(two.ask(zk.MULTI, zk.multi(ops))) or answer[0][0])
        fact("its answer", answer[0][2].hex()[-80:] if answer[0][0] == 0 and b"/g" not in answer[0][2] else "paths")
        fact("sessions now", self.sessions_of(here))
        self.level(elsewhere)
        moved = Raw(elsewhere.client, conn.session, conn.password)
        fact("it goes elsewhere", moved.told())
        if upgrading:
            fact("an ephemeral elsewhere", moved.ask(zk.CREATE, zk.create(path + "/h", b"", zk.EPHEMERAL))[0])
            cost("closeSession elsewhere", lambda: moved.ask(zk.CLOSE)[0])
        cost("closeSession of the other", lambda: two.ask(zk.CLOSE)[0])
        reader = Raw(here.client)
        fact("left of it all", sorted(self.children(reader, path)))
        reader.ask(zk.CLOSE)

    def children(self, conn, path):
        _, _, body = conn.ask(zk.GET_CHILDREN, zk.read(path))
        count, at, names = struct.unpack_from(">i", body)[0], 4, []
        for _ in range(count):
            length = struct.unpack_from(">i", body, at)[0]
            names.append(body[at + 4:at + 4 + length].decode())
            at += 4 + length
        return names


if __name__ == "__main__":
    mixed = "zoetrope+java39+java39,java39+zoetrope+zoetrope"
    facts.side_by_side(__doc__, Run, "java39,zoetrope," + mixed, 23600, DIFFERENCES)
