#!/usr/bin/env python3
"""An ensemble of real processes on loopback: each member a Java server (3.8 or 3.9) or Zoetrope, in any mix.

  members.py start DIR KIND,KIND,KIND [--observers N] [--port P] [--heap 512m] [--cfg key=value ...]
                                      starts, waits until it serves
  members.py status DIR | stop DIR

A member may change its kind between two lives: it keeps its data directory. Members end what they started, by pid.
"""
import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
import servers  # noqa: E402


class Member:
    def __init__(self, ensemble, sid, kind, observer):
        self.ensemble, self.sid, self.kind, self.observer = ensemble, sid, kind, observer
        self.dir = os.path.join(ensemble.dir, "m%d" % sid)
        base = ensemble.port + 10 * (sid - 1)
        self.client, self.quorum, self.election = base, base + 1, base + 2
        nets = ensemble.nets
        self.host = nets.client_host(sid) if nets else "127.0.0.1"
        self.peer_host = nets.peer_host(sid) if nets else ensemble.peer_hosts % sid
        self.process = None
        os.makedirs(os.path.join(self.dir, "data"), exist_ok=True)

    def line(self):
        role = ":observer" if self.observer else ""
        return "server.%d=%s:%d:%d%s" % (self.sid, self.peer_host, self.quorum, self.election, role)

    @property
    def at(self):
        """Where clients find it."""
        return self.host, self.client

    @property
    def log(self):
        return os.path.join(self.dir, "log")

    def log_from(self, offset):
        with open(self.log, errors="replace") as f:
            f.seek(offset)
            return f.read()

    def log_size(self):
        return os.path.getsize(self.log) if os.path.exists(self.log) else 0

    def start(self, kind=None):
        self.kind = kind or self.kind
        with open(os.path.join(self.dir, "data", "myid"), "w") as f:
            f.write("%d\n" % self.sid)
        lines = ["tickTime=%d" % self.ensemble.tick, "initLimit=%d" % self.ensemble.init, "syncLimit=5", "dataDir=%s/data" % self.dir,
                 "clientPort=%d" % self.client, "clientPortAddress=%s" % self.host, "maxClientCnxns=0",
                 "admin.enableServer=false", "4lw.commands.whitelist=*", "extendedTypesEnabled=true",
                 "minSessionTimeout=500", "maxSessionTimeout=60000"]
        if self.observer:
            lines.append("peerType=observer")
        lines += self.ensemble.cfg + [m.line() for m in self.ensemble.members]
        with open(os.path.join(self.dir, "zoo.cfg"), "w") as f:
            f.write("\n".join(lines) + "\n")
        log = open(self.log, "a")
        command = servers.command(self.dir, self.kind, self.ensemble.heap, self.ensemble.props)
        if self.ensemble.nets:
            command = self.ensemble.nets.command(self.sid) + command
        self.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                                        start_new_session=True, cwd=self.dir)
        self.ensemble.save()

    def word(self, text, timeout=2):
        try:
            return servers.word(self.client, text, timeout, self.host)
        except OSError:
            return ""

    def role(self):
        found = re.search(r"Mode: (\w+)", self.word("srvr"))
        return found.group(1) if found else None

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def signal(self, sig):
        if self.alive():
            os.kill(self.process.pid, sig)

    def pause(self):
        """Stops the process, and returns when the last of its threads stands still."""
        self.signal(signal.SIGSTOP)
        if self.alive():
            os.waitpid(self.process.pid, os.WUNTRACED)

    def kill(self):
        self.signal(signal.SIGKILL)
        self.wait()

    def stop(self):
        self.signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except (subprocess.TimeoutExpired, AttributeError):
            self.kill()
        self.process = None

    def wait(self):
        if self.process is not None:
            self.process.wait()
            self.process = None


class Ensemble:
    def __init__(self, directory, kinds, observers=0, port=23100, tick=500, cfg=(), heap="512m", props=(), init=20,
                 nets=None, peer_hosts="127.0.0.1"):
        self.dir, self.port, self.tick, self.cfg, self.heap = os.path.abspath(directory), port, tick, list(cfg), heap
        self.props, self.init, self.nets = list(props), init, nets
        # With a %d in it, each member has an address of its own for the others.
        self.peer_hosts = peer_hosts if "%d" in peer_hosts else peer_hosts + "%.0s"
        os.makedirs(self.dir, exist_ok=True)
        self.members = []
        for n, kind in enumerate(kinds):
            self.members.append(Member(self, n + 1, kind, n >= len(kinds) - observers))

    def save(self):
        pids = {m.sid: m.process.pid for m in self.members if m.alive()}
        with open(os.path.join(self.dir, "pids.json"), "w") as f:
            json.dump(pids, f)

    def hosts(self):
        return ",".join("%s:%d" % m.at for m in self.members)

    def member(self, sid):
        return self.members[sid - 1]

    def start(self, wait=60):
        for m in self.members:
            m.start()
        self.await_serving(wait=wait)

    def await_serving(self, members=None, wait=60):
        """Waits until these (or all running) members serve, and says who leads."""
        until = time.time() + wait
        members = members or [m for m in self.members if m.alive()]
        while time.time() < until:
            roles = {m.sid: m.role() for m in members}
            if all(roles.values()):
                return roles
            time.sleep(0.05)
        raise TimeoutError("after %d s: %s" % (wait, {m.sid: (m.kind, m.role()) for m in members}))

    def leader(self, wait=30):
        until = time.time() + wait
        while time.time() < until:
            for m in self.members:
                if m.alive() and m.role() == "leader":
                    return m
            time.sleep(0.02)
        raise TimeoutError("nobody leads after %d s" % wait)

    def stop(self):
        for m in self.members:
            m.signal(signal.SIGCONT)
        for m in self.members:
            m.signal(signal.SIGTERM)
        for m in self.members:
            if m.process is not None:
                m.stop()

    def tails(self, lines=15):
        out = []
        for m in self.members:
            text = m.log_from(max(0, m.log_size() - 6000)) if os.path.exists(m.log) else ""
            out.append("--- server %d (%s)\n%s" % (m.sid, m.kind, "\n".join(text.splitlines()[-lines:])))
        return "\n".join(out)


def tree(member):
    """Every znode that a member holds: path -> (data, stat without what may differ). A server of ours must answer every
    read; a Java server that leaves some unanswered is asked again, a few times, and it is said."""
    import zkclient
    lost = []

    def silent(path, why):
        lost.append(path)
        print("server %d (%s): the read of %s was not answered: %s" % (member.sid, member.kind, path, why), flush=True)
        if member.kind == "zoetrope" or len(lost) > 5:
            raise why

    with zkclient.Client([member.at]) as client:
        client.sync("/")
        return client.walk("/", silent)


def signalled(pid, sig):
    """Sends a signal; false when there is no such process any more."""
    try:
        os.kill(pid, sig)
    except ProcessLookupError:
        return False
    return True


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("what", choices=["start", "status", "stop"])
    a.add_argument("dir")
    a.add_argument("kinds", nargs="?", default="zoetrope,zoetrope,zoetrope")
    a.add_argument("--observers", type=int, default=0)
    a.add_argument("--port", type=int, default=23100)
    a.add_argument("--heap", default="512m")
    a.add_argument("--cfg", action="append", default=[])
    o = a.parse_args()
    if o.what == "stop":
        with open(os.path.join(o.dir, "pids.json")) as f:
            pids = list(json.load(f).values())
        for attempt in range(200):
            pids = [pid for pid in pids if signalled(pid, 0 if attempt else signal.SIGTERM)]
            if not pids:
                return
            time.sleep(0.05)
        sys.exit("still there after 10 s: %s" % pids)
    ensemble = Ensemble(o.dir, o.kinds.split(","), o.observers, o.port, cfg=o.cfg, heap=o.heap)
    if o.what == "start":
        ensemble.start()
    print(ensemble.hosts())
    for m in ensemble.members:
        print("server %d, %s: %s" % (m.sid, m.kind, m.role()))


if __name__ == "__main__":
    main()
