#!/usr/bin/env bash
# zookeeper-async's own tests (crates.io, 5.0.0), as published. They start servers themselves, one or three, and kill some.
# usage: zookeeper_async.sh [--kind zoetrope|java39|java38]
. "$(dirname "$0")/lib.sh"
client_options "$@"
source=$cache/zookeeper-async-5.0.0
if [ ! -d "$source" ]; then
    curl -sSf https://static.crates.io/crates/zookeeper-async/zookeeper-async-5.0.0.crate | tar xz -C "$cache"
fi
grep -q '^\[workspace\]' "$source/Cargo.toml" || echo '[workspace]' >> "$source/Cargo.toml"
[ "$kind" = zoetrope ] || python3 "$interop/servers.py" classpath "$kind" > /dev/null
out=$(mktemp)
trap 'rm -f "$out"' EXIT
cd "$source"
# Built before the clock of any test runs.
CARGO_TARGET_DIR=$cache/rust-target cargo test --no-run > "$out" 2>&1 || { tail -20 "$out"; exit 1; }
ZK_KIND=$kind PATH=$clients/rust-bin:$PATH CARGO_TARGET_DIR=$cache/rust-target timeout 900 cargo test --no-fail-fast > "$out" 2>&1 || true
grep -E '^(test .* \.\.\. (FAILED|ignored)|error|thread .*panicked)' "$out" || true
awk '/^test result/ { p += $4; f += $6; s += $8 } END { printf "%d passed, %d failed, %d skipped\n", p, f, s; exit !(p > 0 && f == 0) }' "$out"
