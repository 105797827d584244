#!/usr/bin/env python3
"""How long nobody's writes are acknowledged when the leader is killed, stopped or parted from the others: Java and Zoetrope
in one run, trial by trial in turn.

  failover.py [--trials 20] [--kinds java39,zoetrope] [--acts kill,stop,part] [--znodes 10,1000000] [--tick 2000] [--quick]

Three servers of each kind with the same tickTime, initLimit 10 and syncLimit 5. One writer a server writes without pause and,
when its connection ends, asks the same server again every 5 ms; so no client waits for one that is gone while another serves.
The gap is the longest time without any acknowledged write around the loss of the leader. Prints the median and the worst of
each, and all of them.

`part` needs network namespaces (see nets.py) and is left out where there are none. `kill` must cost at most a third of
Java's median, the others no more than Java's, and Zoetrope's medians of a kill with several numbers of znodes must be within
50 ms; otherwise the run fails.
"""
import argparse
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import load
import members
import nets
from zkclient import Client, Lost, Refused

AGAIN = 0.005  # s between two attempts to connect
WITHIN = {"kill": 1 / 3, "stop": 1.0, "part": 1.0}  # of Java's median
BY_SIZE = 0.05  # s that the median of a kill may differ by between two numbers of znodes


class Writer(threading.Thread):
    """Sets one znode again and again, through one server only."""

    def __init__(self, at, path):
        super().__init__(daemon=True)
        self.at, self.path = at, path
        self.times, self.wanted, self.ending = [], threading.Event(), False
        self.start()

    def run(self):
        client = None
        while not self.ending:
            self.wanted.wait()
            try:
                if client is None:
                    client = Client([self.at], timeout_ms=40000, patience=0, reply_timeout=60)
                client.set(self.path, b"x")
                self.times.append(time.time())
            except (Lost, Refused):
                if client is not None and client.sock is None:
                    client = None
                time.sleep(AGAIN)
            # One write after the other is enough to see a gap of a few ms, and leaves the machine to the servers.
            time.sleep(0.001)


class Side:
    """One kind's ensemble and its writers."""

    def __init__(self, kind, directory, port, tick, parting):
        self.kind = kind
        network = nets.Networks(3) if parting else None
        self.ensemble = members.Ensemble(os.path.join(directory, kind), [kind] * 3, port=port, tick=tick, init=10, heap="2g",
                                         cfg=["snapCount=100000", "jute.maxbuffer=4194304"], nets=network)
        self.writers, self.gaps = [], {}

    def start(self, znodes):
        self.ensemble.start()
        leader = self.ensemble.leader()
        with Client([leader.at]) as client:
            for m in self.ensemble.members:
                client.create("/failover%d" % m.sid, b"x")
        bench = os.path.join(members.servers.REPO, "target", "release", "zoetrope-bench")
        bench = os.environ.get("ZOETROPE_BENCH", bench)
        subprocess.run([bench, "load", "--target", "x=%s:%d" % leader.at, "--znodes", str(znodes), "--bytes", "100"],
                       check=True, stdout=subprocess.DEVNULL)
        self.writers = [Writer(m.at, "/failover%d" % m.sid) for m in self.ensemble.members]

    def times(self):
        return [t for w in self.writers for t in list(w.times[-3000:])]

    def trial(self, act, limit=60.0):
        """The gap around one loss of the leader, s."""
        for w in self.writers:
            w.times.clear()
            w.wanted.set()
        leader = self.ensemble.leader()
        time.sleep(1.0)
        at = time.time()
        self.lose(leader, act)
        while True:
            time.sleep(0.3)
            # Writes go on again, and not those that were on their way: the last half second has some of them, after a gap.
            after = [t for t in self.times() if t > time.time() - 0.3]
            gap = load.longest_gap(self.times(), at - 0.2, time.time())
            if len(after) > 20 and gap > 0.003 and time.time() - at > 1.0 and self.other_leads(leader):
                break
            if time.time() - at > limit:
                raise TimeoutError("%s: no writes %d s after the leader was lost (%s)" % (self.kind, limit, act))
        for w in self.writers:
            w.wanted.clear()
        self.restore(leader, act)
        return gap

    def other_leads(self, lost):
        return any(m is not lost and m.role() == "leader" for m in self.ensemble.members)

    def lose(self, leader, act):
        if act == "kill":
            leader.signal(signal.SIGKILL)
        elif act == "stop":
            leader.signal(signal.SIGSTOP)
        else:
            self.ensemble.nets.part(leader.sid)

    def restore(self, leader, act):
        if act == "kill":
            leader.wait()
            leader.start()
        elif act == "stop":
            leader.signal(signal.SIGCONT)
        else:
            self.ensemble.nets.heal()
        until = time.time() + 90
        self.ensemble.await_serving(self.ensemble.members, wait=90)
        while sorted(m.role() or "" for m in self.ensemble.members) != ["follower", "follower", "leader"]:
            if time.time() > until:
                raise TimeoutError("%s: not whole again after %s" % (self.kind, act))
            time.sleep(0.1)

    def stop(self):
        self.ensemble.stop()
        if self.ensemble.nets:
            self.ensemble.nets.remove()


def report(kind, act, znodes, gaps):
    print("%-9s %-5s %7d znodes: median %5.0f ms, worst %5.0f ms   (%s)" % (
        kind, act, znodes, statistics.median(gaps) * 1000, max(gaps) * 1000,
        " ".join("%.0f" % (g * 1000) for g in sorted(gaps))), flush=True)


def measure(o, kinds, acts, znodes, parting):
    """Median gaps: (act, kind) -> s."""
    directory = tempfile.mkdtemp(prefix="zoetrope-failover-", dir=o.dir)
    sides, medians = [], {}
    try:
        for n, kind in enumerate(kinds):
            side = Side(kind, directory, o.port + 50 * n, o.tick, parting)
            sides.append(side)
            side.start(znodes)
        for act in acts:
            gaps = {side.kind: [] for side in sides}
            for _ in range(o.trials):
                for side in sides:
                    gaps[side.kind].append(side.trial(act))
            for kind, some in gaps.items():
                report(kind, act, znodes, some)
                medians[act, kind] = statistics.median(some)
    except TimeoutError:
        for side in sides:
            print(side.ensemble.tails())
        raise
    finally:
        for side in sides:
            side.stop()
        shutil.rmtree(directory, ignore_errors=True)
    return medians


def judge(medians, kinds):
    """What is too slow, in words."""
    wrong = []
    java = next((k for k in kinds if k.startswith("java")), None)
    for (act, kind), median in medians.items():
        if kind != "zoetrope" or java is None:
            continue
        theirs = medians[act, java]
        print("%s: %.2f of the median of %s" % (act, median / theirs, java), flush=True)
        if median > WITHIN[act] * theirs:
            wrong.append("%s: %.0f ms, more than %.2f of %.0f" % (act, median * 1000, WITHIN[act], theirs * 1000))
    return wrong


def judge_sizes(medians):
    """Where becoming leader takes longer with more znodes, in words. `medians`: number of znodes -> medians of `measure`."""
    wrong = []
    for act, kind in sorted(set(key for some in medians.values() for key in some)):
        these = {znodes: some[act, kind] for znodes, some in medians.items()}
        if act != "kill" or len(these) < 2:
            continue
        apart = max(these.values()) - min(these.values())
        print("%s %s: medians of %s znodes are %.0f ms apart" % (
            kind, act, " and ".join(map(str, these)), apart * 1000), flush=True)
        if kind == "zoetrope" and apart > BY_SIZE:
            wrong.append("%s: medians are %.0f ms apart, more than %.0f" % (act, apart * 1000, BY_SIZE * 1000))
    return wrong


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--trials", type=int, default=20)
    a.add_argument("--kinds", default="java39,zoetrope")
    a.add_argument("--acts", default="kill,stop,part")
    a.add_argument("--tick", type=int, default=2000)
    a.add_argument("--znodes", default="10", help="numbers with commas between; each is a run of its own")
    a.add_argument("--port", type=int, default=22100)
    a.add_argument("--dir", default="/var/tmp")
    a.add_argument("--quick", action="store_true", help="three trials, kill only")
    o = a.parse_args()
    if o.quick:
        o.trials, o.acts = 3, "kill"
    kinds, acts, parting, wrong = o.kinds.split(","), o.acts.split(","), False, []
    if "part" in acts:
        try:
            nets.Networks(1).remove()
            parting = True
        except OSError as error:
            acts.remove("part")
            print("part: SKIPPED: no network namespaces here: %s" % error, flush=True)
    medians = {}
    for znodes in map(int, o.znodes.split(",")):
        medians[znodes] = measure(o, kinds, acts, znodes, parting)
        wrong += judge(medians[znodes], kinds)
    wrong += judge_sizes(medians)
    for what in wrong:
        print("  too slow: " + what)
    print("failover: %s" % ("FAILED" if wrong else "passed"))
    return 1 if wrong else 0


if __name__ == "__main__":
    os.chdir(os.path.dirname(os.path.abspath(__file__)))
    sys.exit(main())
