#!/usr/bin/env bash
# Two ensembles of three servers side by side on this machine: Java 3.9 with -Xmx2g each, and Zoetrope.
#
#   bench/ensembles.sh [--quick] [--rounds N] [--seconds S] [--warmup S] [--port P] [--dir DIR] [--scenario KIND:NxM ...]
#
# Builds what it measures. Ends what it started. The directory must be on the disk that is to be measured.
set -euo pipefail
cd "$(dirname "$0")/.."
port=28600 dir="" rounds=5 seconds=4 warmup=8 scenarios=()
while [ $# -gt 0 ]; do
    case $1 in
        --quick) rounds=1 seconds=1 warmup=1; shift ;;
        --rounds) rounds=$2; shift 2 ;;
        --seconds) seconds=$2; shift 2 ;;
        --warmup) warmup=$2; shift 2 ;;
        --port) port=$2; shift 2 ;;
        --dir) dir=$2; shift 2 ;;
        --scenario) scenarios+=(--scenario "$2"); shift 2 ;;
        *) echo "unknown: $1" >&2; exit 2 ;;
    esac
done
if [ ${#scenarios[@]} -eq 0 ]; then
    for scenario in write:16x16 create:16x16 read:16x16 write:64x1; do scenarios+=(--scenario $scenario); done
fi
# A directory of its own inside, because it is removed at the end.
dir=$(mktemp -d "${dir:-/var/tmp}/zoetrope-ensembles-XXXXXX")

target=${CARGO_TARGET_DIR:-target}
[ -n "${ZOETROPE:-}" ] || cargo build --release --quiet -p zoetrope-server
cargo build --release --quiet -p zoetrope-bench
export ZOETROPE=${ZOETROPE:-$(realpath "$target/release/zoetrope")}
bench=$(realpath "$target/release/zoetrope-bench")

members() { python3 interop/ensemble/members.py "$@"; }
stop() {
    for where in "$dir"/*/; do
        [ ! -e "$where/pids.json" ] || members stop "$where"
    done
}
trap 'stop; rm -rf "$dir"' EXIT
targets=()
start() { # NAME KIND PORT
    members start "$dir/$1" "$2,$2,$2" --port "$3" --heap 2g | tail -n +2 | sed "s/^/$1: /" >&2
    targets+=(--target "$1=127.0.0.1:$3+127.0.0.1:$(($3 + 10))+127.0.0.1:$(($3 + 20))")
}
start java java39 "$port"
start zoetrope zoetrope $((port + 50))
"$bench" run "${targets[@]}" "${scenarios[@]}" --rounds "$rounds" --seconds "$seconds" --warmup "$warmup"
