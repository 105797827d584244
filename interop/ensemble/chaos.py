#!/usr/bin/env python3
"""An ensemble under load, and members that are killed, stopped, restarted and parted from the others, or whose disk fills up.

  chaos.py [--kinds zoetrope,zoetrope,zoetrope] [--minutes 30] [--seed N] [--quick]

Every acknowledged write is remembered. At the end all members must hold the same tree, nothing acknowledged may be
missing, no counter may have gone back, and the ensemble must have taken writes again after every fault.

Partitions want network namespaces (see nets.py); full disks want `mount`, and Zoetrope alone, since a Java server that cannot
write ends. What the machine does not allow is left out with a word.
"""
import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import load
import members
import nets
import zkclient

QUIET = 15.0  # s within which a healed ensemble must take writes
NO_ROOM = -1  # what a write is refused with while the disk is full
NOTICED = 3.0  # s within which a server has found that there is room again, and clients have read what it said before


class SmallDisk:
    """A file system of its own for one member's data, in memory, that can be made as small as what it holds. `OSError` where
    this machine does not allow it."""

    def __init__(self, where):
        self.where = where
        os.makedirs(where, exist_ok=True)
        self.mount("-t", "tmpfs", "-o", "size=1g", "tmpfs")

    def mount(self, *words):
        done = subprocess.run(["mount", *words, self.where], capture_output=True, text=True)
        if done.returncode != 0:
            raise OSError("mount: " + done.stderr.strip())

    def fill(self):
        # The server writes meanwhile: it may hold more by the time it is made smaller.
        for room in (64, 1 << 10, 4 << 10, 16 << 10, 64 << 10):
            at = os.statvfs(self.where)
            try:
                used = (at.f_blocks - at.f_bfree) * at.f_frsize // 1024
                return self.mount("-o", "remount,size=%dk" % (used + room))
            except OSError as error:
                refused = error
        raise refused

    def empty(self):
        self.mount("-o", "remount,size=1g")

    def remove(self):
        subprocess.run(["umount", self.where], capture_output=True)


class Chaos:
    def __init__(self, ensemble, rng, disk):
        self.e, self.rng, self.disk, self.done = ensemble, rng, disk, {}
        self.full = []  # from when to when the disk was

    def acts(self):
        acts = [self.kill] * 4 + [self.pause] * 3 + [self.restart, self.kill_two, self.kill_all, self.rolling]
        return acts + [self.part] * 3 * bool(self.e.nets) + [self.full_disk] * bool(self.disk)

    def members(self):
        return [m for m in self.e.members if m.alive()]

    def count(self, what):
        self.done[what] = self.done.get(what, 0) + 1

    def pick(self):
        """The leader half of the time, anybody otherwise."""
        if self.rng.random() < 0.5:
            for m in self.members():
                if m.role() == "leader":
                    return m
        return self.rng.choice(self.members())

    def kill(self):
        m = self.pick()
        m.kill()
        time.sleep(self.rng.uniform(0, 2))
        m.start()

    def kill_two(self):
        two = self.rng.sample(self.members(), 2)
        for m in two:
            m.kill()
        time.sleep(self.rng.uniform(0, 1))
        for m in two:
            m.start()

    def kill_all(self):
        for m in self.members():
            m.kill()
        for m in self.e.members:
            m.start()

    def pause(self):
        m = self.pick()
        m.signal(signal.SIGSTOP)
        time.sleep(self.rng.uniform(0.2, 6))
        m.signal(signal.SIGCONT)

    def part(self):
        self.e.nets.part(self.pick().sid)
        time.sleep(self.rng.uniform(0.5, 8))
        self.e.nets.heal()

    def full_disk(self):
        since = time.time()
        self.disk.fill()
        time.sleep(self.rng.uniform(1, 8))
        self.disk.empty()
        self.full.append((since, time.time() + NOTICED))

    def meant(self, at, error):
        """Whether that answer was the right one, given then."""
        return error == NO_ROOM and any(since <= at <= until for since, until in self.full)

    def restart(self):
        m = self.pick()
        m.stop()
        m.start()

    def rolling(self):
        for m in list(self.e.members):
            m.stop()
            m.start()
            self.e.await_serving([m], wait=60)


def allowed(what, make):
    """What this machine allows, or `None` and a word."""
    try:
        return make()
    except OSError as error:
        print("%s: SKIPPED: %s" % (what, error), flush=True)
        return None


def run(o):
    rng = random.Random(o.seed)
    kinds = o.kinds.split(",")
    directory = tempfile.mkdtemp(prefix="zoetrope-chaos-")
    network = allowed("partitions", lambda: nets.Networks(len(kinds)))
    ensemble = members.Ensemble(directory, kinds, port=o.port, cfg=["snapCount=2000"], nets=network)
    disk = None
    if all(kind == "zoetrope" for kind in kinds):
        disk = allowed("full disks", lambda: SmallDisk(os.path.join(ensemble.member(1).dir, "data")))
    problems = []
    writers = load.Load([m.at for m in ensemble.members], writers=o.writers)
    try:
        ensemble.start()
        writers.start()
        chaos, until = Chaos(ensemble, rng, disk), time.time() + o.minutes * 60
        while time.time() < until and not problems:
            act = rng.choice(chaos.acts())
            chaos.count(act.__name__)
            act()
            healed, before = time.time(), writers.count()
            while writers.count() == before:
                if time.time() - healed > QUIET + 10:
                    problems.append("%.0f s after %s no write was acknowledged" % (time.time() - healed, act.__name__))
                    break
                time.sleep(0.02)
            time.sleep(rng.uniform(0, 1.5))
        writers.stop()
        ensemble.await_serving(ensemble.members, wait=60)
        trees = [(m.sid, members.tree(m)) for m in ensemble.members]
        lost = writers.missing(trees[0][1])
        problems += load.broken_promises(writers, trees)
        problems += ["error %d" % error for at, _, error in writers.errors if not chaos.meant(at, error)][:5]
        for m in ensemble.members:
            if m.kind == "zoetrope" and "panicked" in m.log_from(0):
                problems.append("server %d panicked" % m.sid)
        print("%s, seed %d: %d acknowledged writes in %.1f min, %d lost, %s; %d znodes on each of %d servers" % (
            o.kinds, o.seed, writers.count(), o.minutes, len(lost),
            ", ".join("%s %d" % pair for pair in sorted(chaos.done.items())), len(trees[0][1]), len(trees)))
    except (TimeoutError, zkclient.Lost) as error:
        problems.append("%s: %s" % (type(error).__name__, error))
    finally:
        if problems:
            print(ensemble.tails())
        ensemble.stop()
        if network:
            network.remove()
        if disk:
            disk.remove()
    for problem in problems:
        print("  " + problem)
    if problems:
        print("  data and logs are kept in %s" % directory)
        return 1
    shutil.rmtree(directory, ignore_errors=True)
    return 0


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--kinds", default="zoetrope,zoetrope,zoetrope")
    a.add_argument("--minutes", type=float, default=30)
    a.add_argument("--seed", type=int, default=int(time.time()))
    a.add_argument("--writers", type=int, default=6)
    a.add_argument("--port", type=int, default=24100)
    a.add_argument("--quick", action="store_true")
    o = a.parse_args()
    if o.quick:
        o.minutes = 1
    failed = run(o)
    print("chaos: %s" % ("FAILED" if failed else "passed"))
    sys.exit(failed)


if __name__ == "__main__":
    os.chdir(os.path.dirname(os.path.abspath(__file__)))
    main()
