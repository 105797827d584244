#!/usr/bin/env bash
# kazoo's whole suite through its own harness, which starts and stops three servers: Zoetrope and Java, test by test.
# usage: kazoo_cluster.sh [--quick] [--kinds zoetrope,java38,java39] [--select EXPRESSION]
#   --quick     without the gevent and eventlet variants
#   --select    as pytest's -k
# Results stay in target/interop/kazoo-KIND.xml; a kind that is not named is compared by what it left there.
# Ends with 1 if a test passes with a Java server and not with Zoetrope, unless kazoo_not_yet.txt names it.
. "$(dirname "$0")/lib.sh"
kinds=zoetrope,java38,java39 select=""
while [ $# -gt 0 ]; do
    case $1 in
        --quick) select="not gevent and not eventlet and not Gevent and not Eventlet" ;;
        --kinds) kinds=$2; shift ;;
        --select) select=$2; shift ;;
        *) echo "$1? --quick, --kinds and --select are known" >&2; exit 2 ;;
    esac
    shift
done
need_kazoo
binary=${ZOETROPE:-$(dirname "$interop")/target/release/zoetrope}
port=22000
for kind in ${kinds//,/ }; do
    # A range of its own: what the last kind left in TIME_WAIT does not matter.
    port=$((port + 100))
    chosen=$select
    export ZOOKEEPER_PORT_OFFSET=$port ZOOKEEPER_VERSION=3.9.5 KAZOO_ZK_CMD= ZOOKEEPER_CLASSPATH=/nonexistent.jar
    case $kind in
        zoetrope)
            KAZOO_ZK_CMD="$binary server --config {cfg}"
            # kazoo tries for ever to log in where there is no SASL.
            chosen="${select:+($select) and }not test_sasl"
            ;;
        java38) ZOOKEEPER_VERSION=3.8.0 ZOOKEEPER_CLASSPATH=$(python3 "$interop/servers.py" classpath java38) ;;
        java39) ZOOKEEPER_CLASSPATH=$(python3 "$interop/servers.py" classpath java39) ;;
        *) echo "$kind? zoetrope, java38 and java39 are known" >&2; exit 2 ;;
    esac
    xml=$cache/kazoo-$kind.xml
    rm -f "$xml"
    (cd "$cache" && PYTHONPATH=$clients "$kazoo/bin/pytest" -q -p kazoo_external -p no:cacheprovider --timeout=150 \
        --junitxml="$xml" ${chosen:+-k "$chosen"} --pyargs kazoo.tests > "$cache/kazoo-$kind.log" 2>&1) || true
    tail -1 "$cache/kazoo-$kind.log" | sed "s/^/$kind: /"
    [ -s "$xml" ] || { tail -20 "$cache/kazoo-$kind.log"; exit 1; }
done
python3 "$clients/kazoo_compare.py" "$cache" "$clients/kazoo_not_yet.txt"
