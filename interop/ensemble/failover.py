#!/usr/bin/env python3
"""How long nobody's writes are acknowledged when the leader is killed, or stopped: Java and Zoetrope in one run.

  failover.py [--trials 20] [--kinds java39,zoetrope] [--tick 2000] [--acts kill,stop] [--znodes 0] [--quick]

One writer a server, each connected to any server that lets it in, writes without pause. The gap is the longest time without any
acknowledged write around the loss of the leader. Prints the median and the worst of each, and all of them.
"""
import argparse
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

import load
import members


def fill(ensemble, znodes):
    """That many znodes, with the repository's load generator."""
    bench = os.path.join(members.servers.REPO, "target", "release", "zoetrope-bench")
    leader = ensemble.leader()
    subprocess.run([bench, "load", "--target", "x=127.0.0.1:%d" % leader.client, "--znodes", str(znodes),
                    "--bytes", "100"], check=True, stdout=subprocess.DEVNULL)


def trial(ensemble, writers, act, limit):
    leader = ensemble.leader()
    time.sleep(0.5)
    at = time.time()
    leader.signal(signal.SIGKILL if act == "kill" else signal.SIGSTOP)
    # Until another server leads and writes have gone on for a while.
    count, until = writers.count(), at + limit
    time.sleep(0.2)
    while time.time() < until:
        before = writers.count()
        time.sleep(0.3)
        if writers.count() > before + 3 and writers.count() > count + 20:
            break
    gap = writers.longest_gap(at - 0.2, time.time())
    if act == "kill":
        leader.wait()
        leader.start()
    else:
        leader.signal(signal.SIGCONT)
    ensemble.await_serving(ensemble.members, wait=60)
    return gap


def measure(kind, act, o, port):
    directory = tempfile.mkdtemp(prefix="zoetrope-failover-", dir=o.dir)
    ensemble = members.Ensemble(directory, [kind] * 3, port=port, tick=o.tick, heap="2g", cfg=["snapCount=100000"])
    gaps = []
    try:
        ensemble.start()
        if o.znodes:
            fill(ensemble, o.znodes)
        writers = load.Load([("127.0.0.1", m.client) for m in ensemble.members], writers=3)
        writers.start()
        time.sleep(1)
        for _ in range(o.trials):
            gaps.append(trial(ensemble, writers, act, limit=40))
        writers.stop()
    finally:
        ensemble.stop()
        shutil.rmtree(directory, ignore_errors=True)
    print("%-9s %-5s %d znodes: median %4.0f ms, worst %4.0f ms   (%s)" % (
        kind, act, o.znodes, statistics.median(gaps) * 1000, max(gaps) * 1000,
        " ".join("%.0f" % (g * 1000) for g in sorted(gaps))), flush=True)
    return statistics.median(gaps)


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--trials", type=int, default=20)
    a.add_argument("--kinds", default="java39,zoetrope")
    a.add_argument("--acts", default="kill,stop")
    a.add_argument("--tick", type=int, default=2000)
    a.add_argument("--znodes", type=int, default=0)
    a.add_argument("--port", type=int, default=22100)
    a.add_argument("--dir", default="/var/tmp")
    a.add_argument("--quick", action="store_true")
    o = a.parse_args()
    if o.quick:
        o.trials, o.acts = 3, "kill"
    port = o.port
    for act in o.acts.split(","):
        medians = {}
        for kind in o.kinds.split(","):
            port += 50
            medians[kind] = measure(kind, act, o, port)
        if len(medians) == 2:
            first, second = medians.values()
            print("%s: ratio of the medians %.2f" % (act, second / first))
    print("failover: passed")


if __name__ == "__main__":
    os.chdir(os.path.dirname(os.path.abspath(__file__)))
    sys.exit(main())
