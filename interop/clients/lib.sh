# Sourced by the runs of this folder: reads --kind and --quick, starts a server, stops it at the end.
#   client_options "$@"       sets kind (zoetrope, java38, java39) and quick
#   start_server PORT [KEY=VALUE ...]   further keys of zoo.cfg; sets dir
#   need PACKAGE...           Debian packages
#   need_kazoo                kazoo and what its tests use; sets kazoo to the virtual environment
set -euo pipefail
clients=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
interop=$(dirname "$clients")
cache=$(dirname "$interop")/target/interop
mkdir -p "$cache"
kind=zoetrope quick=

client_options() {
    while [ $# -gt 0 ]; do
        case $1 in
            --quick) quick=1 ;;
            --kind) kind=$2; shift ;;
            *) echo "$1? --quick and --kind zoetrope|java38|java39 are known" >&2; exit 2 ;;
        esac
        shift
    done
}

start_server() {
    local port=$1 keys=()
    shift
    for key in "$@"; do keys+=(--cfg "$key"); done
    dir=$(mktemp -d)
    trap 'python3 "$interop/servers.py" stop "$dir"; rm -rf "$dir"' EXIT
    python3 "$interop/servers.py" start "$dir" --kind "$kind" --port "$port" "${keys[@]}" > /dev/null
}

need() {
    local missing=()
    for package in "$@"; do dpkg -s "$package" > /dev/null 2>&1 || missing+=("$package"); done
    [ ${#missing[@]} -eq 0 ] && return
    apt-get update -qq
    apt-get install -y -qq "${missing[@]}" > /dev/null
}

need_kazoo() {
    kazoo=$cache/kazoo
    if [ ! -x "$kazoo/bin/pytest" ]; then
        python3 -m venv "$kazoo"
        "$kazoo/bin/pip" install -q 'kazoo[test,sasl]==2.11.0' 'pyOpenSSL<26.2' 'pytest-timeout'
    fi
}
