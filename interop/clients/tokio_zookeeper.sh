#!/usr/bin/env bash
# tokio-zookeeper's own tests, as published. They want a server on 127.0.0.1:2181.
# usage: tokio_zookeeper.sh [--kind zoetrope|java39|java38]
. "$(dirname "$0")/lib.sh"
client_options "$@"
source=$cache/tokio-zookeeper-0.4.0
if [ ! -d "$source" ]; then
    curl -sSf https://static.crates.io/crates/tokio-zookeeper/tokio-zookeeper-0.4.0.crate | tar xz -C "$cache"
    echo '[workspace]' >> "$source/Cargo.toml"
fi
start_server 2181 tickTime=2000 maxSessionTimeout=40000 minSessionTimeout=4000
cd "$source"
CARGO_TARGET_DIR=$cache/rust-target cargo test 2>&1 | tee "$dir/out" | grep -E '^(test |error|panicked|test result)' || true
awk '/^test result/ { p += $4; f += $6; s += $8 } END { printf "%d passed, %d failed, %d skipped\n", p, f, s; exit !(p > 0 && f == 0) }' "$dir/out"
