#!/usr/bin/env bash
# The page of `zoetrope-sim view` in a real browser: a run that kept its promises and one that did not.
# usage: run.sh [--shots DIR]     pictures of what the browser shows
. "$(dirname "$0")/../clients/lib.sh"
here=$interop/view
command -v npm > /dev/null || need nodejs npm
need chromium
home=$cache/view
if [ ! -d "$home/node_modules/playwright-core" ]; then
    mkdir -p "$home"
    npm install --silent --no-fund --no-audit --prefix "$home" playwright-core@1.65.1
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
sim=${ZOETROPE_SIM:-$(dirname "$interop")/target/release/zoetrope-sim}
NODE_PATH=$home/node_modules node "$here/check.js" "$sim" "$work" "$@"
