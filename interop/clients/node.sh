#!/usr/bin/env bash
# node-zookeeper-client, which has the protocol in JavaScript.
# usage: node.sh [--kind zoetrope|java39|java38]
. "$(dirname "$0")/lib.sh"
client_options "$@"
command -v npm > /dev/null || need nodejs npm
home=$cache/node
if [ ! -d "$home/node_modules/node-zookeeper-client" ]; then
    mkdir -p "$home"
    npm install --silent --no-fund --no-audit --prefix "$home" node-zookeeper-client@1.1.3
fi
start_server 29120 tickTime=1000
cd "$home"
node "$clients/node_check.js" 127.0.0.1:29120
