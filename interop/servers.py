#!/usr/bin/env python3
"""Starts and stops servers to compare: a real Java server (3.8 or 3.9) or Zoetrope, alone, on loopback.

  servers.py start DIR --kind java38|java39|zoetrope --port P [--heap 2g] [--cfg key=value ...]
  servers.py stop DIR
  servers.py classpath java38|java39

Java 3.8 comes from Debian (libzookeeper-java), 3.9 from Maven's central repository; both are installed when they are
missing. A server ends what it started, by pid.
"""
import argparse
import glob
import os
import shutil
import signal
import socket
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
REPO = os.path.dirname(HERE)
CACHE = os.path.join(REPO, "target", "interop")
JARS = "/usr/share/java"
DEBIAN = ["zookeeper", "zookeeper-jute", "slf4j-api", "slf4j-simple", "netty-all", "netty-codec", "netty-resolver",
          "netty-transport-native-unix-common", "netty-transport-classes-epoll", "netty-buffer", "netty-common",
          "netty-handler", "netty-transport", "metrics-core", "snappy-java", "commons-cli", "commons-io"]
SUPER = "super:D/InIHSb7yEEbrWz8b9l71RjZJU="


def installed(package):
    return subprocess.run(["dpkg", "-s", package], capture_output=True).returncode == 0


def classpath(kind):
    if kind == "java38":
        need = ["libzookeeper-java", "libslf4j-java", "libnetty-java", "default-jre-headless"]
        if shutil.which("java"):
            need.pop()
        missing = [p for p in need if not installed(p)]
        if missing:
            subprocess.run(["apt-get", "update", "-qq"], check=True)
            subprocess.run(["apt-get", "install", "-y", "-qq", *missing], check=True, stdout=subprocess.DEVNULL)
        return ":".join(p for p in ("%s/%s.jar" % (JARS, j) for j in DEBIAN) if os.path.exists(p))
    jars = os.path.join(CACHE, "java39")
    if not glob.glob(os.path.join(jars, "zookeeper-3.9*.jar")):
        os.makedirs(jars, exist_ok=True)
        subprocess.run(["mvn", "-q", "-B", "-f", os.path.join(HERE, "pom.xml"), "dependency:copy-dependencies",
                        "-DoutputDirectory=" + jars], check=True)
    skip = ("aarch_64", "osx", "windows")
    return ":".join(j for j in sorted(glob.glob(jars + "/*.jar")) if not any(s in j for s in skip))


def word(port, text, timeout=3, host="127.0.0.1"):
    with socket.create_connection((host, port), timeout) as s:
        s.sendall(text.encode())
        out = b""
        while True:
            piece = s.recv(65536)
            if not piece:
                return out.decode(errors="replace")
            out += piece


def command(directory, kind, heap, props):
    cfg = os.path.join(directory, "zoo.cfg")
    if kind == "zoetrope":
        binary = os.environ.get("ZOETROPE", os.path.join(REPO, "target", "release", "zoetrope"))
        return [binary, "server", "--config", cfg]
    return ["java", "-Xmx" + heap, "-cp", classpath(kind), "-Dfile.encoding=UTF-8", "-Djava.net.preferIPv4Stack=true",
            "-Dorg.slf4j.simpleLogger.showDateTime=true", "-Dzookeeper.DigestAuthenticationProvider.superDigest=" + SUPER,
            *["-D" + p for p in props], "org.apache.zookeeper.server.quorum.QuorumPeerMain", cfg]


def start(directory, kind, port, heap="512m", cfg=(), props=(), wait=60):
    """Starts a server on `directory`/data and waits until it serves. Answers its process."""
    directory = os.path.abspath(directory)
    os.makedirs(os.path.join(directory, "data"), exist_ok=True)
    lines = ["tickTime=500", "dataDir=%s/data" % directory, "clientPort=%d" % port, "clientPortAddress=127.0.0.1",
             "maxClientCnxns=0", "minSessionTimeout=500", "maxSessionTimeout=60000", "admin.enableServer=false",
             "4lw.commands.whitelist=*", "extendedTypesEnabled=true"]
    if kind == "zoetrope":
        lines.append("DigestAuthenticationProvider.superDigest=" + SUPER)
    given = {line.split("=")[0] for line in cfg}
    lines = [line for line in lines if line.split("=")[0] not in given] + list(cfg)
    with open(os.path.join(directory, "zoo.cfg"), "w") as f:
        f.write("\n".join(lines) + "\n")
    log = open(os.path.join(directory, "log"), "a")
    process = subprocess.Popen(command(directory, kind, heap, props), stdout=log, stderr=subprocess.STDOUT,
                               stdin=subprocess.DEVNULL, start_new_session=True, cwd=directory)
    with open(os.path.join(directory, "pid"), "w") as f:
        f.write(str(process.pid))
    until = time.time() + wait
    while time.time() < until:
        if process.poll() is not None:
            break
        try:
            if "Mode:" in word(port, "srvr"):
                return process
        except OSError:
            pass
        time.sleep(0.05)
    stop(directory)
    with open(os.path.join(directory, "log")) as f:
        sys.exit("%s did not start on port %d:\n%s" % (kind, port, f.read()[-3000:]))


def stop(directory, sig=signal.SIGTERM):
    path = os.path.join(directory, "pid")
    if not os.path.exists(path):
        return
    with open(path) as f:
        pid = int(f.read())
    os.unlink(path)
    for attempt in range(150):
        try:
            os.kill(pid, sig if attempt == 0 else 0)
            os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            pass
        except ProcessLookupError:
            return
        time.sleep(0.05)
    os.kill(pid, signal.SIGKILL)


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("what", choices=["start", "stop", "classpath"])
    a.add_argument("dir", help="a directory, or for classpath a kind of server")
    a.add_argument("--kind", choices=["java38", "java39", "zoetrope"], default="zoetrope")
    a.add_argument("--port", type=int, default=21810)
    a.add_argument("--heap", default="512m")
    a.add_argument("--cfg", action="append", default=[])
    a.add_argument("--prop", action="append", default=[])
    o = a.parse_args()
    if o.what == "classpath":
        print(classpath(o.dir))
    elif o.what == "stop":
        stop(o.dir)
    else:
        print(start(o.dir, o.kind, o.port, o.heap, o.cfg, o.prop).pid)


if __name__ == "__main__":
    main()
