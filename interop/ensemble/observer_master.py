#!/usr/bin/env python3
"""Observers that follow followers (observerMasterPort), seen from outside: an observer of each kind under three voters of each
kind, side by side. It writes, reads, watches; sessions move to it and away; the follower it observes is killed, and it goes
on with another.

  observer_master.py [--kinds VOTERS+OBSERVER,...] [--port P] [--dir DIR]

Prints what each did. Exits 1 when they differ in anything, when something does not come, or when trees are not equal.
"""
import re
import struct
import time

import facts
import load
import members
from facts import Raw, closes, until
from zkclient import SYNC, zk

# A follower's pings come each half tick, so this session lives only if what is said of it reaches the leader.
SHORT_MS = 2500


class Run(facts.Run):
    def __init__(self, kinds, directory, port):
        self.kinds, self.facts, self.error = kinds, [], None
        voters, observer = kinds.split("+")
        self.master_port = port + 39
        cfg = ["observerMasterPort=%d" % self.master_port]
        # Every voter needs an address of its own: the port is the same on all of them.
        each = voters.split(".") if "." in voters else [voters] * 3
        self.ensemble = members.Ensemble(directory, each + [observer], observers=1, port=port, cfg=cfg,
                                         peer_hosts="127.0.0.%d")
        self.ensemble.start = self.start
        self.observer = self.ensemble.member(4)

    def start(self):
        """Of two servers with nothing, the one with the larger id leads."""
        first, second, third, observer = self.ensemble.members
        for pair in ((first, third), (second, observer)):
            for member in pair:
                member.start()
            self.ensemble.await_serving()

    def summary(self):
        return "goes on %.1f s after its follower is killed" % self.waited

    def observed(self):
        """The sids of those to whom something is connected at the port for observers."""
        found = set()
        with open("/proc/net/tcp") as table:
            for line in list(table)[1:]:
                remote, state = line.split()[2:4]
                address, port = remote.split(":")
                if int(port, 16) == self.master_port and state == "01":
                    found.add(int(address[:2], 16))
        return found

    def master(self):
        until("the observer follows one follower", 20, lambda: len(self.observed()) == 1)
        return self.ensemble.member(self.observed().pop())

    def story(self):
        leader = self.ensemble.leader()
        self.fact("leads at first", "server %d" % leader.sid)
        self.fact("it observes a", self.master().role())
        conn = Raw(self.observer.client)
        self.fact("a session", conn.told())
        self.requests(conn, leader)
        self.words(leader)
        self.moves(conn)
        self.lives_and_ends()
        self.loses_its_master()
        self.is_equal()

    def words(self, leader):
        master, observer = self.master(), self.page(self.observer)
        others = [m for m in self.ensemble.members if m not in (master, self.observer, leader)]
        self.fact("mntr zk_observer_master_id is it", observer.get("zk_observer_master_id") == str(master.sid))
        self.fact("mntr zk_synced_observers", [self.page(m).get("zk_synced_observers")
                                              for m in [master, *others, leader, self.observer]])

    def page(self, member):
        return dict(line.split("\t", 1) for line in member.word("mntr").splitlines() if "\t" in line)

    def requests(self, conn, leader):
        self.fact("create", conn.ask(zk.CREATE, zk.create("/a", b"one"))[0])
        self.fact("create, already there", conn.ask(zk.CREATE, zk.create("/a", b"one"))[0])
        self.fact("setData", conn.ask(zk.SET_DATA, zk.set_data("/a", b"two"))[0])
        self.fact("setData, bad version", conn.ask(zk.SET_DATA, zk.set_data("/a", b"no", 99))[0])
        self.fact("getData with a watch", conn.ask(zk.GET_DATA, zk.read("/a", True))[2][4:7])
        self.fact("multi", conn.ask(zk.MULTI, zk.multi([(zk.CREATE, zk.create("/b", b"")), (zk.DELETE, zk.delete("/b"))]))[0])
        self.fact("a multi that fails", conn.ask(zk.MULTI, zk.multi([(zk.CREATE, zk.create("/b", b"")), (zk.DELETE, zk.delete("/c"))]))[0])
        other = Raw(leader.client)
        self.fact("setData at the leader", other.ask(zk.SET_DATA, zk.set_data("/a", b"six"))[0])
        event = conn.receive()
        self.fact("the watch", struct.unpack_from(">iqiii", event)[0:1] + struct.unpack_from(">ii", event, 16))
        self.fact("sync", conn.ask(SYNC, zk.buf("/a"))[0])
        self.fact("getData after sync", conn.ask(zk.GET_DATA, zk.read("/a"))[2][4:7])
        for n in range(200):
            other.ask(zk.CREATE, zk.create("/n%d" % n, b"x" * 1000))
        self.fact("sync after many writes elsewhere", conn.ask(SYNC, zk.buf("/"))[0])
        self.fact("the last of them", conn.ask(zk.EXISTS, zk.read("/n199"))[0])
        self.fact("an ephemeral", conn.ask(zk.CREATE, zk.create("/e", b"", zk.EPHEMERAL))[0])
        body = conn.ask(zk.GET_DATA, zk.read("/e"))[2]
        self.fact("its owner", "its session" if struct.unpack_from(">q", body, 4 + 44)[0] == conn.session else "another")
        other.ask(zk.CLOSE)

    def moves(self, conn):
        """From the observer to every voter, and back each time."""
        at = conn
        for member in self.ensemble.members[:3]:
            what = "the session at server %d" % member.sid
            until("it is level", 10, lambda: "0x0" not in member.word("srvr"))
            there = self.resumed(member, at)
            self.fact(what, there.told())
            self.fact(what + ", setData", there.ask(zk.SET_DATA, zk.set_data("/a", b"%d" % member.sid))[0])
            at = self.resumed(self.observer, there)
            self.fact(what + ", back", at.told() + (", the same" if at.session == conn.session else ", another"))
            self.fact(what + ", back, create", at.ask(zk.CREATE, zk.create("/m%d" % member.sid, b""))[0])
        self.fact("an unknown session", Raw(self.observer.client, conn.session + 77, facts.password(conn.session + 77)).told())
        self.fact("a wrong password", Raw(self.observer.client, conn.session, b"x" * 16).told())
        self.conn = self.resumed(self.observer, at)

    def resumed(self, member, conn):
        again = Raw(member.client, conn.session, conn.password, timeout_ms=20000)
        conn.close()
        return again

    def lives_and_ends(self):
        alive, silent = (Raw(self.observer.client, timeout_ms=SHORT_MS) for _ in range(2))
        for conn, name in ((alive, "/alive"), (silent, "/silent")):
            self.fact("an ephemeral " + name, conn.ask(zk.CREATE, zk.create(name, b"", zk.EPHEMERAL))[0])
        deadline = time.time() + 4 * SHORT_MS / 1000
        while time.time() < deadline:
            alive.ask(zk.PING, xid=-2)
            time.sleep(0.3)
        self.fact("a session that pings", alive.ask(zk.EXISTS, zk.read("/alive"))[0])
        self.fact("one that is silent", "closed" if closes(silent, 10) else "open")
        self.fact("its ephemeral", alive.ask(zk.EXISTS, zk.read("/silent"))[0])
        self.fact("closeSession", alive.ask(zk.CLOSE)[0])
        until("the ephemeral of the closed one is gone", 5, lambda: self.conn.ask(zk.EXISTS, zk.read("/alive"))[0] == zk.NO_NODE)

    def loses_its_master(self):
        master = self.master()
        at = time.time()
        master.kill()
        self.fact("without its follower, its client", "closed" if closes(self.conn, 20) else "open")
        rest = [m for m in self.ensemble.members[:3] if m is not master]
        writer = Raw(self.ensemble.leader().client)
        self.fact("create meanwhile", writer.ask(zk.CREATE, zk.create("/meanwhile", b""))[0])
        until("it serves again", 60, lambda: self.observer.role() == "observer" and self.writes())
        self.waited = time.time() - at
        self.fact("it observes another", self.master() in rest and self.master().role())
        conn = self.resumed(self.observer, self.conn)
        self.fact("the session, afterwards", conn.told())
        conn.ask(SYNC, zk.buf("/"))
        self.fact("what was written meanwhile", conn.ask(zk.EXISTS, zk.read("/meanwhile"))[0])
        self.fact("its ephemeral, afterwards", conn.ask(zk.EXISTS, zk.read("/e"))[0])
        self.fact("closeSession, afterwards", conn.ask(zk.CLOSE)[0])
        master.start()
        self.ensemble.await_serving()
        self.fact("its ephemeral, closed", Raw(self.observer.client).ask(zk.EXISTS, zk.read("/e"))[0])

    def writes(self):
        try:
            return Raw(self.observer.client).ask(zk.CREATE, zk.create("/again", b""))[0] in (0, -110)
        except (OSError, AttributeError):
            return False

    def is_equal(self):
        self.fact("the leader is killed", self.ensemble.leader().kill())
        until("it serves under another leader", 60, lambda: self.observer.role() == "observer" and self.writes())
        self.fact("with a new leader, create", Raw(self.observer.client).ask(zk.CREATE, zk.create("/new", b""))[0])
        for member in self.ensemble.members:
            if not member.alive():
                member.start()
        self.ensemble.await_serving()
        trees = [(m.sid, members.tree(m)) for m in self.ensemble.members]
        self.fact("trees that differ", load.differences(trees)[:3])
        for m in self.ensemble.members:
            wrong = "digest mismatch|Digests are not matching|differs from its leader|panicked"
            self.fact("server %d says that something is wrong" % m.sid, bool(re.search(wrong, m.log_from(0), re.I)))


if __name__ == "__main__":
    kinds = "java39+java39,zoetrope+zoetrope,zoetrope+java39,java39+zoetrope"
    facts.side_by_side(__doc__, Run, kinds, 24000, {})
