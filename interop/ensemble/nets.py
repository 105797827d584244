"""A network of its own for each member, so that members can be parted while clients still reach all of them.

Each member gets a network namespace with two interfaces: one for its clients, one for the other members. Both end in bridges
of this machine, and clients connect from this machine. To part a member its peers' interface is taken off the bridge: what
is sent disappears, in both directions, and nobody's connection is closed. Wants root and `ip` (iproute2).
"""
import atexit
import os
import shutil
import subprocess


def _ip(*words):
    done = subprocess.run(["ip", *words], capture_output=True, text=True)
    if done.returncode != 0:
        raise OSError("ip %s: %s" % (" ".join(words), done.stderr.strip()))
    return done.stdout


class Networks:
    """`count` namespaces. `OSError` where this machine does not allow them."""

    number = 0

    def __init__(self, count):
        if shutil.which("ip") is None:
            raise OSError("there is no `ip` (iproute2) on this machine")
        Networks.number += 1
        # Of this process alone, and short enough for the name of an interface.
        self.name = "zt%x%d" % (os.getpid(), Networks.number)
        self.count, self.parted, self.made = count, set(), []
        self.nets = self._free_net()
        # Even when the run that made them is cut short by an exception.
        atexit.register(self.remove)
        try:
            for which, net in zip("cp", self.nets):
                bridge = self._bridge(which)
                _ip("link", "add", bridge, "type", "bridge")
                self.made.append(("link", bridge))
                _ip("link", "set", bridge, "up")
                if which == "c":
                    _ip("addr", "add", net + ".254/24", "dev", bridge)
            for sid in range(1, count + 1):
                self._add(sid)
        except OSError:
            self.remove()
            raise

    def _free_net(self):
        """Two networks of 256 addresses that this machine has no address in."""
        used = _ip("-4", "addr")
        for n in range(1, 250, 2):
            nets = "10.231.%d" % n, "10.231.%d" % (n + 1)
            if not any(net + "." in used for net in nets):
                return nets
        raise OSError("no free network below 10.231")

    def _bridge(self, which):
        return self.name + which

    def _add(self, sid):
        space = "%s-%d" % (self.name, sid)
        _ip("netns", "add", space)
        self.made.append(("netns", space))
        _ip("-n", space, "link", "set", "lo", "up")
        for which, net in zip("cp", self.nets):
            inner, outer = "eth" + which, "%s%s%d" % (self.name, which, sid)
            _ip("link", "add", outer, "type", "veth", "peer", "name", inner, "netns", space)
            _ip("link", "set", outer, "master", self._bridge(which), "up")
            _ip("-n", space, "addr", "add", "%s.%d/24" % (net, sid), "dev", inner)
            _ip("-n", space, "link", "set", inner, "up")

    def client_host(self, sid):
        return "%s.%d" % (self.nets[0], sid)

    def peer_host(self, sid):
        return "%s.%d" % (self.nets[1], sid)

    def command(self, sid):
        """What a command of this member begins with. The process keeps its id."""
        return ["ip", "netns", "exec", "%s-%d" % (self.name, sid)]

    def part(self, sid):
        """No other member hears this one, and it hears none of them."""
        _ip("link", "set", "%sp%d" % (self.name, sid), "nomaster")
        self.parted.add(sid)

    def heal(self):
        for sid in sorted(self.parted):
            _ip("link", "set", "%sp%d" % (self.name, sid), "master", self._bridge("p"))
        self.parted.clear()

    def remove(self):
        for kind, name in reversed(self.made):
            words = ("link", "del", name) if kind == "link" else ("netns", "del", name)
            subprocess.run(["ip", *words], capture_output=True)
        self.made = []
