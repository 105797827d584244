#!/usr/bin/env python3
"""A running Java ensemble becomes a Zoetrope ensemble and goes back, one server at a time, under load.

  migrate.py [--java java39] [--servers 3] [--quick]

Each server is stopped and started as the other kind on its own data directory; the next one follows when it serves. A
rolling restart of Java alone runs first, to compare the gaps with. Prints the longest time without any acknowledged write
in each part and the number of lost writes, which must be 0.
"""
import argparse
import os
import shutil
import sys
import tempfile
import time

import load
import members


def roll(ensemble, writers, kind, title):
    """Restarts every server as `kind`, the leader last. Answers the longest gap, s."""
    began = time.time()
    leader = ensemble.leader()
    for m in [m for m in ensemble.members if m is not leader] + [leader]:
        m.stop()
        m.start(kind)
        ensemble.await_serving([m], wait=60)
    # Until the load goes on after the last election.
    before, until = writers.count(), time.time() + 30
    while writers.count() == before and time.time() < until:
        time.sleep(0.02)
    time.sleep(1)
    gap = writers.longest_gap(began, time.time())
    roles = ensemble.await_serving()
    print("%-28s %5.1f s, longest gap between acknowledged writes %.2f s; roles %s" % (
        title, time.time() - began, gap, roles), flush=True)
    return gap


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--java", default="java39")
    a.add_argument("--servers", type=int, default=3)
    a.add_argument("--port", type=int, default=25100)
    a.add_argument("--quick", action="store_true")
    o = a.parse_args()
    directory = tempfile.mkdtemp(prefix="zoetrope-migrate-")
    ensemble = members.Ensemble(directory, [o.java] * o.servers, port=o.port, cfg=["snapCount=5000"])
    writers = load.Load([m.at for m in ensemble.members])
    problems = []
    try:
        ensemble.start()
        writers.start()
        time.sleep(2)
        if not o.quick:
            roll(ensemble, writers, o.java, "Java restarted")
        roll(ensemble, writers, "zoetrope", "Java to Zoetrope")
        if not o.quick:
            roll(ensemble, writers, "zoetrope", "Zoetrope restarted")
        roll(ensemble, writers, o.java, "Zoetrope to Java")
        writers.stop()
        trees = [(m.sid, members.tree(m)) for m in ensemble.members]
        lost = writers.missing(trees[0][1])
        problems += load.broken_promises(writers, trees)
        print("%s, %d servers: %d acknowledged writes, %d lost" % (o.java, o.servers, writers.count(), len(lost)))
    except TimeoutError as error:
        problems.append("TimeoutError: %s" % error)
    finally:
        if problems:
            print(ensemble.tails())
        ensemble.stop()
    for problem in problems:
        print("  " + problem)
    if not problems:
        shutil.rmtree(directory, ignore_errors=True)
    print("migrate: %s" % ("FAILED" if problems else "passed"))
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    os.chdir(os.path.dirname(os.path.abspath(__file__)))
    main()
