#!/usr/bin/env bash
# The C client's command line (cli_mt of Debian's zookeeper-bin 3.8.0).
# usage: c_cli.sh [--kind zoetrope|java39|java38]
. "$(dirname "$0")/lib.sh"
client_options "$@"
need zookeeper-bin
start_server 29110 tickTime=1000
cli="/usr/lib/zookeeper/bin/cli_mt -h 127.0.0.1:29110"
passed=0 failed=0

check() { # check WHAT WANT OUTPUT: WANT is an extended regular expression
    if grep -Eq -- "$2" <<< "$3"; then
        passed=$((passed + 1)); echo "ok    $1"
    else
        failed=$((failed + 1)); echo "FAIL  $1: no /$2/ in"; tail -8 <<< "$3" | sed 's/^/      /'
    fi
}
one() { check "$1" "$2" "$(timeout 20 $cli -c "$1" 2>&1)"; }

one "create /c" "rc = 0"
one "create /c" "rc = -110"
one "set /c hello" "rc = 0"
one "get /c" "^hello"
one "get /c" "version=1"
one "get /c/none" "rc = -101"
one "create2 /c/c2" "rc = 0"
one "create2 +s /c/q" "name = /c/q0000000001"
one "delete /c/q0000000001" "rc = 0"
one "ls /c" "c2"
one "ls2 /c" "czxid"
one "delete /c" "rc = -111"
one "sync /c" "rc = 0"
one "delete /c/c2" "rc = 0"
type() {
    sleep 1
    for line in "create +e /c/e" "create +s /c/s" "create +es /c/es" "wexists /c/w" "create /c/w" "ls /c" \
        "addauth digest u:p" "myid" "quit"; do
        echo "$line"
        sleep 0.3
    done
}
out=$(type | timeout 30 $cli 2>&1) || true
check "typed: an ephemeral znode" "name = /c/e" "$out"
check "typed: a sequential one" "name = /c/s0+" "$out"
check "typed: both" "name = /c/es0+" "$out"
check "typed: a watch is told" "CREATED_EVENT state = CONNECTED_STATE for path /c/w" "$out"
one "ls /c" "w"
check "its ephemerals are gone with it" "^$" "$(timeout 20 $cli -c "ls /c" 2>&1 | grep -E '[[:space:]](e|es0+[0-9])$')"
echo "$passed passed, $failed failed, 0 skipped"
[ $failed -eq 0 ]
