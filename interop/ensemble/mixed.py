#!/usr/bin/env python3
"""Joins of every kind in mixed ensembles, read from the logs of both sides.

  mixed.py [--java java38,java39] [--only SUBSTRING] [--keep]

For each {Java version} x {Zoetrope leads, Java leads} x {DIFF, TRUNC, SNAP} x {follower, observer}: a server of the other
kind joins on that path, serves, holds the leader's tree (every znode compared; no server reports a digest that differs), and the ensemble survives the loss of the leader.
Prints a table of all cells; ends with 1 if one fails.
"""
import argparse
import re
import shutil
import sys
import tempfile
import time

import members
from zkclient import Client, Lost, Refused

PLANS = ("DIFF", "SNAP", "TRUNC")


def hosts(ms):
    return [m.at for m in ms]


def write(ms, prefix, count, patience=30, size=50):
    until = time.time() + patience
    client, n = Client(hosts(ms), patience=patience), 0
    while n < count:
        try:
            client.create("/%s%d" % (prefix, n), b"x" * size)
            n += 1
        except Lost:
            if time.time() > until:
                raise
        except Refused as refused:
            if refused.error != -110:
                raise
            n += 1
    client.close()


def plan_in_logs(leader, joiner, leader_at, joiner_at):
    """The plan the leader says it made for the joiner, and the one the joiner says it got."""
    text = leader.log_from(leader_at)
    if leader.kind == "zoetrope":
        said = re.findall(r"brings a learner level: (\w+).*peer=%d\b" % joiner.sid, text)
    else:
        said = re.findall(r"Sending (DIFF|TRUNC|SNAP|diff|trunc|snap)", text)
        said += ["SNAP" for _ in re.findall(r"Sending snapshot last zxid", text)]
        said += [w for w in re.findall(r"(DIFF|TRUNC|SNAP).{0,80}peer sid: ?%d" % joiner.sid, text)]
    text = joiner.log_from(joiner_at)
    if joiner.kind == "zoetrope":
        got = re.findall(r"is brought level by its leader: (\w+)", text)
    else:
        got = ["DIFF" for _ in re.findall(r"Getting a diff", text)]
        got += ["SNAP" for _ in re.findall(r"Getting a snapshot from leader", text)]
        got += ["TRUNC" for _ in re.findall(r"Truncating log to get in sync", text)]
    return [w.upper() for w in said], got


def equal_trees(ms):
    trees = [(m.sid, members.tree(m)) for m in ms]
    import load
    return load.differences(trees)


def cell(java, zoetrope_leads, plan, observer, directory, port):
    """One join. Three voters lead; the fourth server, of the other kind, joins."""
    lead_kind, join_kind = ("zoetrope", java) if zoetrope_leads else (java, "zoetrope")
    cfg = ["snapCount=100000"]
    # Four voters for a follower (so that three are a quorum without it), three and an observer otherwise.
    kinds = [lead_kind, lead_kind, lead_kind, join_kind]
    e = members.Ensemble(directory, kinds, observers=1 if observer else 0, port=port, cfg=cfg)
    joiner = e.member(4)
    rest = [m for m in e.members if m is not joiner]
    try:
        if plan == "TRUNC":
            prepare_trunc(e, joiner, rest, lead_kind, observer)
        else:
            for m in rest:
                m.start()
            e.await_serving(rest)
            write(rest, "a", 30)
            if plan == "DIFF":
                joiner.start()
                e.await_serving([joiner])
                joiner.stop()
                write(rest, "b", 30)
            else:
                # More than a leader keeps in memory, and nothing of it on the joiner.
                write(rest, "b", 700, size=30000)
        leader = e.leader()
        leader_at, joiner_at = leader.log_size(), joiner.log_size()
        joiner.start()
        e.await_serving([joiner])
        said, got = plan_in_logs(leader, joiner, leader_at, joiner_at)
        write([joiner], "c", 10)
        problems = []
        if plan not in got:
            problems.append("took %s (leader said %s)" % (got, said))
        if leader.kind == "zoetrope" and plan not in said:
            problems.append("the leader said %s" % said)
        problems += equal_trees(e.members)[:3]
        leader.kill()
        alive = [m for m in e.members if m.alive()]
        e.await_serving(alive)
        write([joiner], "d", 10)
        leader.start()
        e.await_serving(e.members)
        write([leader], "e", 5)
        problems += equal_trees(e.members)[:3]
        for m in e.members:
            if m.kind == "zoetrope" and re.search("differs from its leader|panicked", m.log_from(0)):
                problems.append("server %d says its tree differs" % m.sid)
            if m.kind != "zoetrope" and re.search("digest mismatch|Digests are not matching", m.log_from(0), re.I):
                problems.append("server %d says digests differ" % m.sid)
        return problems
    finally:
        e.stop()


def prepare_trunc(e, joiner, rest, lead_kind, observer):
    """Gives the joiner txns that nobody else has: it logs them as the only one that gets them, and is then stopped."""
    # It leads alone with one other that stands still: what it proposes reaches its own log and no quorum.
    was, joiner.observer = joiner.observer, False
    kind = joiner.kind
    others = rest[:2]
    for m in [joiner] + others:
        m.start()
    e.await_serving([joiner] + others)
    write(others, "a", 30)
    # Until the joiner leads.
    for _ in range(12):
        leader = e.leader()
        if leader is joiner:
            break
        leader.stop()
        e.await_serving([m for m in [joiner] + others if m.alive()], wait=40)
        leader.start()
        e.await_serving([joiner] + others)
    assert e.leader() is joiner, "server 4 never led"
    import struct
    import zk
    client = Client(hosts([joiner]))
    for m in others:
        m.pause()
    for k in range(5):
        client.xid += 1
        body = struct.pack(">ii", client.xid, zk.CREATE) + zk.create("/ghost%d" % k, b"never committed")
        client.sock.sendall(zk.frame(body))
    time.sleep(0.4)
    joiner.kill()
    for m in others:
        m.kill()
    client.drop()
    joiner.observer, joiner.kind = was, kind
    for m in rest:
        m.start()
    e.await_serving(rest)
    # Nothing more is written: what the joiner has on top is beyond everything of that epoch.


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--java", default="java38,java39")
    a.add_argument("--only", default="")
    a.add_argument("--port", type=int, default=26000)
    a.add_argument("--keep", action="store_true")
    o = a.parse_args()
    rows, failed, port = [], 0, o.port
    for java in o.java.split(","):
        for zoetrope_leads in (True, False):
            for plan in PLANS:
                for observer in (False, True):
                    name = "%s, %s leads, %s, %s" % (java, "Zoetrope" if zoetrope_leads else "Java", plan,
                                                     "observer" if observer else "follower")
                    if o.only not in name:
                        continue
                    port += 50
                    directory, started = tempfile.mkdtemp(prefix="zoetrope-mixed-"), time.time()
                    try:
                        problems = cell(java, zoetrope_leads, plan, observer, directory, port)
                    except (TimeoutError, AssertionError, Lost, Refused) as error:
                        problems = ["%s: %s" % (type(error).__name__, error)]
                    verdict = "ok" if not problems else "FAILED: " + "; ".join(problems)
                    failed += bool(problems)
                    rows.append((name, verdict))
                    print("%-48s %s (%.0f s)%s" % (name, verdict, time.time() - started,
                                                   "  " + directory if problems else ""), flush=True)
                    if not problems or not o.keep:
                        shutil.rmtree(directory, ignore_errors=True)
    print("%d passed, %d failed" % (len(rows) - failed, failed))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
