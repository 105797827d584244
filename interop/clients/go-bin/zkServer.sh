#!/usr/bin/env bash
# Stands in for bin/zkServer.sh of a ZooKeeper distribution: go-zookeeper's tests call `zkServer.sh start-foreground CFG`.
# SERVER_JVMFLAGS reaches the server through the environment. Their pattern for `srvr` wants a date as MM/DD/YYYY.
set -e
[ "$1" = start-foreground ] || { echo "only start-foreground is known here, not '$1'" >&2; exit 2; }
if [ "$ZK_KIND" = zoetrope ]; then
    exec "$ZOETROPE" server --config "$2" --set zoetrope.srvr.dateFormat=us
fi
exec java $SERVER_JVMFLAGS -cp "$ZK_CLASSPATH" org.apache.zookeeper.server.quorum.QuorumPeerMain "$2"
