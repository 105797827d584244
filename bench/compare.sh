#!/usr/bin/env bash
# The whole comparison: a real Java server (3.9, -Xmx2g) and Zoetrope, side by side on this machine.
#
#   bench/compare.sh [--quick] [--rounds N] [--seconds S] [--port P] [--dir DIR]
#
# Builds what it measures. Ends what it started. The directory must be on the disk that is to be measured.
set -euo pipefail
cd "$(dirname "$0")/.."
quick=0 port=28500 dir=""
rounds=5 seconds=4 warmup=4 znodes=1000000 times=5 stall=30
while [ $# -gt 0 ]; do
    case $1 in
        --quick) quick=1 rounds=1 seconds=1 warmup=1 znodes=50000 times=1 stall=5; shift ;;
        --rounds) rounds=$2; shift 2 ;;
        --seconds) seconds=$2; shift 2 ;;
        --port) port=$2; shift 2 ;;
        --dir) dir=$2; shift 2 ;;
        *) echo "unknown: $1" >&2; exit 2 ;;
    esac
done
# A directory of its own inside, because it is removed at the end.
dir=$(mktemp -d "${dir:-/var/tmp}/zoetrope-compare-XXXXXX")

target=${CARGO_TARGET_DIR:-target}
[ -n "${ZOETROPE:-}" ] || cargo build --release --quiet -p zoetrope-server
cargo build --release --quiet -p zoetrope-bench
export ZOETROPE=${ZOETROPE:-$(realpath "$target/release/zoetrope")}
bench=$(realpath "$target/release/zoetrope-bench")
java_port=$port zoetrope_port=$((port + 1))
java_at=127.0.0.1:$java_port zoetrope_at=127.0.0.1:$zoetrope_port

start() { # KIND DIR PORT [key=value ...]
    local kind=$1 where=$2 at=$3 cfg=()
    shift 3
    for pair in "$@"; do cfg+=(--cfg "$pair"); done
    python3 interop/servers.py start "$where" --kind "$kind" --port "$at" --heap 2g "${cfg[@]}" >/dev/null
}
both() { # SUFFIX [key=value ...]
    local suffix=$1
    shift
    start java39 "$dir/java$suffix" $java_port "$@"
    start zoetrope "$dir/zoetrope$suffix" $zoetrope_port "$@"
}
stop() {
    for where in "$dir"/*/; do python3 interop/servers.py stop "$where"; done
}
trap 'stop; rm -rf "$dir"' EXIT

echo "## The disk"
"$bench" disk --dir "$dir" --seconds "$seconds"

echo; echo "## Requests"
both ""
"$bench" run --target java=$java_at --target zoetrope=$zoetrope_at \
    --rounds $rounds --seconds $seconds --warmup $warmup
stop

echo; echo "## $znodes znodes of 100 bytes"
start java39 "$dir/java-big" $java_port
"$bench" load --target java=$java_at --znodes $znodes
python3 interop/servers.py stop "$dir/java-big"
start zoetrope "$dir/zoetrope-big" $zoetrope_port
"$bench" load --target zoetrope=$zoetrope_at --znodes $znodes | tail -1
stop

echo; echo "## Restart on them"
classes=$(python3 interop/servers.py classpath java39)
"$bench" restart --times $times \
    --start "java=$java_at=java -Xmx2g -cp $classes -Djava.net.preferIPv4Stack=true \
org.apache.zookeeper.server.quorum.QuorumPeerMain $dir/java-big/zoo.cfg" \
    --start "zoetrope=$zoetrope_at=$ZOETROPE server --config $dir/zoetrope-big/zoo.cfg"

echo; echo "## A snapshot of them under a steady mixed load"
# Often enough to be met, seldom enough to leave time without one.
for kind in java39 zoetrope; do
    if [ $kind = java39 ]; then name=java at=$java_port; else name=zoetrope at=$zoetrope_port; fi
    start $kind "$dir/$name-big" $at snapCount=$((quick == 1 ? 4000 : 20000))
    "$bench" snapshot-stall --seconds $stall --target "$name=127.0.0.1:$at,data=$dir/$name-big/data" |
        { if [ $kind = java39 ]; then cat; else tail -1; fi; }
    python3 interop/servers.py stop "$dir/$name-big"
done
