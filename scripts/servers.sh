#!/usr/bin/env bash
# Fetches the servers of another Debian suite into target/servers/SUITE, with all that they need, down to the C
# library. Nothing is installed, and what is there is not fetched again.
#
#   servers.sh SUITE SERVER...    SERVER: rabbitmq-server, or postgresql-N
#
#   bullseye  PostgreSQL 13                   trixie  RabbitMQ 4.0, PostgreSQL 17
#   (bookworm: RabbitMQ 3.10, PostgreSQL 15)  forky   RabbitMQ 4.3, PostgreSQL 18
#
# Prints the variables that make devstack take them, to be read by `eval`.
set -euo pipefail
[ $# -ge 2 ] || { sed -n '2,10s/^# \{0,1\}//p' "$0" >&2; exit 2; }
cd "$(dirname "$0")/.."

suite=$1
shift
mkdir -p "target/servers/$suite"
into=$(cd "target/servers/$suite" && pwd)
tree=$into/tree

say() { printf 'servers: %s\n' "$*" >&2; }
die() { say "$@"; exit 1; }

# One fetches, the others wait and find it done.
exec 9>"$into/lock"
flock 9

# An apt of its own: the mirror of this machine, another suite, and nothing that counts as installed.
own_apt() {
    local keys=/usr/share/keyrings/debian-archive-keyring.gpg mirror
    command -v apt-get >/dev/null || die "needs apt-get"
    [ "$(uname -m)" = x86_64 ] || die "only for x86-64"
    [ -e "$keys" ] || die "needs Debian's keys (debian-archive-keyring)"
    mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null |
        grep -oE '^(deb |URIs: *)(\[[^]]*\] *)?[a-z+]+://[^ ]+/debian/?( |$)' | grep -oE '[a-z+]+://[^ ]+' | head -n 1 || true)
    [ -n "$mirror" ] || die "no Debian mirror in /etc/apt"
    mkdir -p "$into/apt/lists/partial" "$into/apt/parts" "$into/apt/cache/archives/partial"
    : >"$into/apt/status"
    echo "deb [signed-by=$keys] $mirror $suite main" >"$into/apt/sources.list"
    cat >"$into/apt/apt.conf" <<END
Dir::State "$into/apt";
Dir::State::Lists "$into/apt/lists";
Dir::State::status "$into/apt/status";
Dir::Etc::SourceList "$into/apt/sources.list";
Dir::Etc::SourceParts "$into/apt/parts";
Dir::Cache "$into/apt/cache";
APT::Sandbox::User "root";
END
    export APT_CONFIG=$into/apt/apt.conf
    apt-get -qq update >&2
}

fetch() { # SERVER
    say "fetching $1 of Debian $suite"
    [ -e "$into/apt/apt.conf" ] || own_apt
    export APT_CONFIG=$into/apt/apt.conf
    rm -f "$into"/apt/cache/archives/*.deb
    apt-get -qq install --no-install-recommends --download-only -y "$1" >&2
    (cd "$into/apt/cache/archives" && apt-get -qq download patchelf >&2)
    local deb
    for deb in "$into"/apt/cache/archives/*.deb; do
        case $deb in
        */patchelf_*) dpkg -x "$deb" "$into/tools" ;;
        *) dpkg -x "$deb" "$tree" ;;
        esac
    done
}

# The programs below a folder get the loader and the libraries of the suite: as RPATH, so that it holds for what they
# load as well.
relocate() { # FOLDER
    local loader libraries program tool=$into/tools/usr/bin/patchelf
    libraries=$tree/usr/lib/x86_64-linux-gnu:$tree/lib/x86_64-linux-gnu
    loader=$(find "$tree"/{usr/,}lib/x86_64-linux-gnu -name ld-linux-x86-64.so.2 2>/dev/null | head -n 1 || true)
    [ -n "$loader" ] || die "$tree has no C library"
    patchelf() { "$loader" --library-path "$libraries" "$tool" "$@"; }
    find "$1" -type f -perm -u+x | while read -r program; do
        [ "$(head -c 4 "$program" | tail -c 3)" = ELF ] || continue
        patchelf --print-interpreter "$program" >/dev/null 2>&1 || continue
        patchelf --set-interpreter "$loader" --force-rpath --set-rpath "$libraries" "$program"
    done
}

rabbitmq() {
    local erlang=$tree/usr/lib/erlang scripts program
    relocate "$erlang"
    grep -rIl '/usr/lib/erlang' "$erlang/bin" "$erlang"/erts-*/bin | xargs sed -i "s#=/usr/lib/erlang#=$erlang#"
    scripts=$(ls -d "$tree"/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin)
    mkdir -p "$into/rabbitmq"
    for program in rabbitmq-server rabbitmqctl rabbitmq-plugins; do
        printf '#!/bin/sh\nPATH=%s:$PATH\nexport PATH\nexec %s/%s "$@"\n' "$erlang/bin" "$scripts" "$program" >"$into/rabbitmq/$program"
        chmod +x "$into/rabbitmq/$program"
    done
}

for server in "$@"; do
    case $server in
    rabbitmq-server) folder=$into/rabbitmq variable=DEVSTACK_RABBITMQ_BIN ;;
    postgresql-*) folder=$tree/usr/lib/postgresql/${server#postgresql-}/bin variable=DEVSTACK_POSTGRES_BIN ;;
    *) die "what is $server?" ;;
    esac
    if [ ! -e "$into/$server.done" ]; then
        fetch "$server"
        case $server in
        rabbitmq-server) rabbitmq ;;
        *) relocate "$folder" ;;
        esac
        # As root, the servers run as another user.
        chmod -R a+rX "$into"
        : >"$into/$server.done"
    fi
    echo "export $variable='$folder'"
done
rm -rf "$into/apt"
