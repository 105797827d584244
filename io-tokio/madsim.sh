#!/usr/bin/env bash
# The driver with madsim's network and time in place of tokio's. usage: madsim.sh [SEED]
set -eu
cd "$(dirname "$0")/.."
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}/madsim RUSTFLAGS="--cfg madsim" MADSIM_TEST_SEED=${1:-1}
cargo test -p zoetrope-io-tokio --test madsim
