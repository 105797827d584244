#!/usr/bin/env bash
# All proofs on the real binary, one after the other. `--quick` for short runs.
set -u
cd "$(dirname "$0")"
failed=""
for proof in kill9 fsync_order stall hostile diskfull; do
    python3 "$proof.py" "$@" || failed="$failed $proof"
done
[ -z "$failed" ] || { echo "failed:$failed"; exit 1; }
