#!/usr/bin/env python3
"""Java's zkCli, typed at: the same commands to a real Java server and to Zoetrope, what it prints compared line by line.

  zkcli.py [--kind zoetrope|java38|java39]     the server under test; beside it always runs java39

Times, session ids and what derives from them are masked. Children are printed sorted by zkCli itself.
"""
import argparse
import os
import re
import select
import shutil
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
import servers

PORT = 29130
COMMANDS = """
ls /
ls -s /
ls -R /
ls /none
create /a one
create /a again
create /a/b two
create -s /a/s- x
create -s /a/s- y
create -e /a/e mine
create -e -s /a/es- mine
create -c /a/container
create -t 3600000 /a/ttl soon
create -t -5 /a/badttl x
create /none/child x
create /a/e/child x
create a x
create /a/with-acl x world:anyone:r
create /a/no-data
get /a
get -s /a
get -s /a/e
get -s /a/container
get -s /a/ttl
get /none
get -w /a
set /a changed
set -s /a again
set -v 0 /a no
set -v 2 /a yes
stat /a
stat -w /a/watched
create /a/watched x
stat /none
ls -w /a
create /a/kid x
delete /a/kid
delete /a
delete -v 7 /a/b
delete /none
getAcl /a
getAcl -s /a/with-acl
set /a/with-acl x
setAcl /a/b world:anyone:cdrwa
setAcl -v 9 /a/b world:anyone:r
addauth digest user:secret
create /a/private x auth:user:cdrwa
getAcl /a/private
get /a/private
setAcl -R /a/watched auth::cdrwa
whoami
setquota -n 3 /a/b
listquota /a/b
create /a/b/1 x
create /a/b/2 x
create /a/b/3 x
listquota /a/b
setquota -N 2 /a/b
setquota -b 100 /a/b
delquota /a/b
listquota /a/b
addWatch -m PERSISTENT /a/b
set /a/b news
create /a/b/quiet x
addWatch -m PERSISTENT_RECURSIVE /a
create /a/b/loud x
set /a/b/loud y
delete /a/b/loud
removewatches /a/b
removewatches /a
removewatches /none
sync /a
sync /none
getEphemerals
getEphemerals /a
getEphemerals /none
getAllChildrenNumber /a
getAllChildrenNumber /none
config
reconfig -remove 3
version
ls -R /zookeeper
deleteall /a/b
deleteall /none
nonsense
close
ls /
connect 127.0.0.1:PORT
ls /a
get /a/private
set /a/private x
addauth digest user:secret
deleteall /a
ls /
""".strip().splitlines()

MASKS = [
    (re.compile(r"^(ctime|mtime) = .*", re.M), r"\1 = TIME"),
    (re.compile(r"0x[0-9a-f]{12,}"), "SESSION"),
    (re.compile(r"^(ephemeralOwner = )0x[1-9a-f][0-9a-f]*", re.M), r"\1OWNER"),
    (re.compile(r"127\.0\.0\.1:\d+"), "SERVER"),
]


class Cli:
    """zkCli, one command at a time: an `ls` of a name that nobody has tells where the output of one ends."""

    def __init__(self, port):
        classpath = servers.classpath("java39")
        self.port, self.number, self.out = port, 0, b""
        self.process = subprocess.Popen(
            ["java", "-cp", classpath, "-Dorg.slf4j.simpleLogger.defaultLogLevel=off", "-Dzookeeper.extendedTypesEnabled=true",
             "org.apache.zookeeper.ZooKeeperMain", "-server", "127.0.0.1:%d" % port, "-timeout", "30000"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.until(rb"SyncConnected[^\n]*\n", 30)

    def until(self, pattern, seconds):
        end = time.time() + seconds
        while True:
            found = re.search(pattern, self.out)
            if found:
                text, self.out = self.out[:found.start()], self.out[found.end():]
                return text
            ready = select.select([self.process.stdout], [], [], max(0, end - time.time()))[0]
            piece = os.read(self.process.stdout.fileno(), 65536) if ready else b""
            if not piece:
                raise TimeoutError("zkCli says no more:\n" + self.out.decode(errors="replace")[-2000:])
            self.out += piece

    def type(self, line):
        self.number += 1
        self.process.stdin.write((line.replace("PORT", str(self.port)) + "\n").encode())
        self.process.stdin.flush()
        if line == "close" or line.startswith("connect"):
            time.sleep(2)
        else:
            time.sleep(0.05)
        mark = "/mark-%d-end" % self.number
        # After `close` there is no connection to ask; an unknown command answers as well.
        self.process.stdin.write(("ls %s\n" % mark).encode())
        self.process.stdin.flush()
        text = self.until(rb"(Node does not exist: %s|Not connected|KeeperErrorCode = Session closed[^\n]*|"
                          rb"KeeperErrorCode = Session[^\n]*%s)[^\n]*\n" % (mark.encode(), mark.encode()), 20)
        return text.decode(errors="replace")

    def end(self):
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()


def masked(text):
    for pattern, by in MASKS:
        text = pattern.sub(by, text)
    # The order in which a server lists a session's ephemerals is its own affair.
    text = re.sub(r"^\[(/.*)\]$", lambda m: "[%s]" % ", ".join(sorted(m[1].split(", "))), text, flags=re.M)
    # Events come on a thread of their own: before the answer or behind it.
    return sorted(line for line in text.splitlines() if line.strip())


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--kind", choices=["zoetrope", "java38", "java39"], default="zoetrope")
    a.add_argument("--quick", action="store_true", help="the same; there is no shorter run")
    a.add_argument("--verbose", action="store_true")
    o = a.parse_args()
    base = tempfile.mkdtemp(prefix="zoetrope-zkcli-")
    clis, passed, failed = [], 0, 0
    try:
        for n, kind in enumerate(["java39", o.kind]):
            servers.start(os.path.join(base, str(n)), kind, PORT + n)
            clis.append(Cli(PORT + n))
        for command in COMMANDS:
            theirs, ours = (masked(cli.type(command)) for cli in clis)
            good = theirs == ours
            passed, failed = passed + good, failed + (not good)
            if o.verbose:
                print("ok    " if good else "FAIL  ", command, *ours[:4], sep=" | ")
            if not good:
                print("FAIL  %s\n   java39:\n      %s\n   %s:\n      %s" % (
                    command, "\n      ".join(theirs), o.kind, "\n      ".join(ours)))
    finally:
        for cli in clis:
            cli.end()
        for n in range(2):
            servers.stop(os.path.join(base, str(n)))
        shutil.rmtree(base, ignore_errors=True)
    print("%d passed, %d failed, 0 skipped" % (passed, failed))
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
