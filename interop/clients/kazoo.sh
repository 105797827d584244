#!/usr/bin/env bash
# kazoo's own published suite against one running server.
# usage: kazoo.sh [--quick] [--kind zoetrope|java39|java38]     --quick leaves out the gevent and eventlet variants
# Tests of TLS and SASL, and those that want members of an ensemble to stop or a server of their own, are skipped with
# their reason; tests of reconfiguration, which need a server that allows it, are deselected by name. Both are counted.
. "$(dirname "$0")/lib.sh"
client_options "$@"
need_kazoo
# TestReconfig::test_add_remove_observer, test_bad_input, test_no_super_auth
select="not TestReconfig"
[ -n "$quick" ] && select="$select and not gevent and not eventlet and not Gevent and not Eventlet"
start_server 29100 tickTime=1000
cd "$dir"
# What test_build.py expects the server to call itself.
case $kind in java38) export ZOOKEEPER_VERSION=3.8.0 ;; *) export ZOOKEEPER_VERSION=3.9.5 ;; esac
KAZOO_ZK_HOSTS=127.0.0.1:29100 PYTHONPATH=$clients "$kazoo/bin/pytest" -q -rs -p kazoo_external -p no:cacheprovider \
    --timeout=150 -k "$select" --pyargs kazoo.tests
