"""Writers that remember what was acknowledged, and what must be there at the end."""
import threading
import time

from zkclient import Client, Lost, Refused


class Load:
    """`writers` threads, each creating numbered znodes below its own directory and counting up one of its own."""

    def __init__(self, hosts, writers=6):
        self.hosts, self.stopping = hosts, threading.Event()
        self.acked = [dict() for _ in range(writers)]    # path -> data
        self.counter = [0] * writers                     # last value of the counter that was acknowledged
        self.tried = [0] * writers                       # the highest that was ever sent
        self.times = [[] for _ in range(writers)]        # when writes were acknowledged
        self.errors, self.went_back = [], []
        self.threads = [threading.Thread(target=self.run, args=(n,), daemon=True) for n in range(writers)]

    def start(self):
        client = Client(self.hosts)
        for n in range(len(self.threads)):
            for path in ("/w%d" % n, "/w%d/counter" % n):
                try:
                    client.create(path, b"0")
                except Refused:
                    pass
        client.close()
        for thread in self.threads:
            thread.start()

    def run(self, n):
        hosts = self.hosts[n % len(self.hosts):] + self.hosts[:n % len(self.hosts)]
        client, k = Client(hosts, patience=120), 0
        while not self.stopping.is_set():
            k += 1
            path, data = "/w%d/n%d" % (n, k), b"%d/%d" % (n, k)
            try:
                client.create(path, data)
                self.acked[n][path] = data
                self.times[n].append(time.time())
                self.tried[n] = k
                client.set("/w%d/counter" % n, b"%d" % k)
                self.counter[n] = k
                self.times[n].append(time.time())
                if k % 8 == 0:
                    value = int(client.get("/w%d/counter" % n)[0])
                    if value < self.counter[n]:
                        self.went_back.append((n, value, self.counter[n]))
            except Lost:
                continue
            except Refused as refused:
                # A create that was lost may have been done. Sessions move and end while servers come and go.
                if refused.error not in (-110, -112, -118):
                    self.errors.append((time.time(), n, refused.error))
                    time.sleep(0.01)
                if refused.error in (-112, -118):
                    client.drop()
                    client.session, client.password = 0, bytes(16)
        client.close()

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join(150)

    def count(self):
        return sum(len(acked) for acked in self.acked) + sum(len(t) // 2 for t in self.times)

    def longest_gap(self, since, until):
        """The longest time in which no write at all was acknowledged, s."""
        return longest_gap([t for times in self.times for t in list(times)], since, until)

    def missing(self, tree):
        """Acknowledged writes that are not in this tree."""
        lost = []
        for n, acked in enumerate(self.acked):
            for path, data in acked.items():
                if tree.get(path, (None,))[0] != data:
                    lost.append(path)
            value = int(tree["/w%d/counter" % n][0])
            if not self.counter[n] <= value <= self.tried[n]:
                lost.append("/w%d/counter is %d, acknowledged was %d" % (n, value, self.counter[n]))
        return lost


def longest_gap(times, since, until):
    """The longest time between two of them, or between them and the edges, s."""
    edges = [since] + sorted(t for t in times if since <= t <= until) + [until]
    return max(b - a for a, b in zip(edges, edges[1:]))


def differences(trees):
    """Where the trees of several servers differ, in words."""
    first_sid, first = trees[0]
    out = []
    for sid, other in trees[1:]:
        for path in sorted(set(first) | set(other)):
            if first.get(path) != other.get(path):
                out.append("%s: server %d has %s, server %d %s" % (path, first_sid, first.get(path), sid, other.get(path)))
    return out


def broken_promises(writers, trees):
    """What a run has broken, in words: trees that differ, acknowledged writes that are gone, values that went back."""
    out = differences(trees)[:5]
    out += ["acknowledged, but missing: %s" % path for path in writers.missing(trees[0][1])[:5]]
    out += ["client %d read %d after %d was acknowledged" % w for w in writers.went_back[:5]]
    return out
