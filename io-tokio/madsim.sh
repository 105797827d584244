#!/usr/bin/env bash
# The driver over a simulated network, time and disk (docs/simulator.md): so many seeds, each judged, and its planted
# mistakes, each found. usage: madsim.sh [SEEDS]. ZOETROPE_SEED=N madsim.sh 1 replays a seed, and ZOETROPE_TELL=1 prints
# what happens in it.
set -eu
cd "$(dirname "$0")/.."
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}/madsim RUSTFLAGS="--cfg madsim"
export CARGO_PROFILE_DEV_OPT_LEVEL=2 ZOETROPE_SEEDS=${1:-60}
only=()
[ -z "${ZOETROPE_SEED:-}" ] || only=(the_driver_keeps_its_promises)
cargo test -p zoetrope-io-tokio --features planted-bugs --test driver -- --nocapture "${only[@]}"
