#!/usr/bin/env bash
# The cross-check against a real Java 3.9 server. --quick: 3 seeds instead of 21.
set -eu
cd "$(dirname "$0")"
if [ "${1:-}" = --quick ]; then
    exec python3 crosscheck.py --java java39 --seeds 3 --ops 4000
fi
exec python3 crosscheck.py --java java39 --seeds 21 --ops 10000 "$@"
