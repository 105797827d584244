#!/usr/bin/env bash
# kazoo's own published suite against one running server.
# usage: kazoo.sh [--quick] [--kind zoetrope|java39|java38]
# --quick leaves out the gevent and eventlet variants. Tests of TLS, SASL and reconfig, and those that stop and start
# members of an ensemble, are skipped by the plug-in and counted.
set -eu
cd "$(dirname "$0")"
kind=zoetrope port=29100 select=()
while [ $# -gt 0 ]; do
    case $1 in
        --quick) select=(-k "not gevent and not eventlet and not Gevent and not Eventlet") ;;
        --kind) kind=$2; shift ;;
    esac
    shift
done
here=$PWD
cache=$here/../target/interop/kazoo
if [ ! -x "$cache/bin/pytest" ]; then
    python3 -m venv "$cache"
    "$cache/bin/pip" install -q 'kazoo[test,sasl]==2.11.0' 'pyOpenSSL<26.2' 'pytest-timeout'
fi
dir=$(mktemp -d)
trap 'python3 "$here/servers.py" stop "$dir"; rm -rf "$dir"' EXIT
python3 servers.py start "$dir" --kind "$kind" --port $port --cfg tickTime=1000 > /dev/null
cd "$dir"
# Not there yet: they need TLS, SASL, an ensemble that is reconfigured, or members that stop and start.
not_yet=(
    --deselect kazoo/tests/test_client.py::TestReconfig
    --ignore-glob '*test_sasl.py'
)
KAZOO_ZK_HOSTS=127.0.0.1:$port PYTHONPATH=$here "$cache/bin/pytest" -q -p kazoo_external -p no:cacheprovider \
    --timeout=150 "${select[@]}" "${not_yet[@]}" --pyargs kazoo.tests
