#!/usr/bin/env bash
# Installs what Florin needs and this machine lacks: PostgreSQL, RabbitMQ, a C compiler, Rust.
# Safe to repeat: when nothing is missing it says so at once and changes nothing.
#
# With --faults also what some kinds of faults need: they are left out where it is missing.
#
# Florin starts private servers from the installed binaries. The services that a package may have
# started on its own are left as they are; nothing here starts, stops or configures them.
set -euo pipefail

case ${1:-} in
--faults) faults=yes ;;
'') faults=no ;;
*) printf 'usage: %s [--faults]\n' "$0" >&2; exit 2 ;;
esac

say() { printf 'setup: %s\n' "$*"; }
die() { printf 'setup: %s\n' "$*" >&2; exit 1; }
has() { command -v "$1" >/dev/null 2>&1; }
any() { local path; for path in "$@"; do [ -e "$path" ] && return 0; done; return 1; }

# The places are those that lab/devstack/src/binaries.rs searches.
has_postgres() {
    any /usr/lib/postgresql/*/bin/initdb /opt/homebrew/opt/postgresql@*/bin/initdb \
        /usr/local/opt/postgresql@*/bin/initdb || { has initdb && has postgres; }
}
has_rabbitmq() {
    any /usr/lib/rabbitmq/bin/rabbitmq-server /opt/homebrew/sbin/rabbitmq-server \
        /usr/local/sbin/rabbitmq-server || has rabbitmq-server
}

missing_packages() { # the names differ: $1 is the package of PostgreSQL, $2 that of RabbitMQ
    has_postgres || echo "$1"
    has_rabbitmq || echo "$2"
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif has sudo; then sudo "$@"
    else die "needs root rights or sudo for: $*"; fi
}

faults_packages() { # small file systems, their power cuts, and clocks that can be stepped
    has_admin mkfs.ext4 || echo e2fsprogs
    has_admin xfs_io || echo xfsprogs
    any /usr/lib/*/faketime/libfaketimeMT.so.1 /usr/lib/faketime/libfaketimeMT.so.1 || echo faketime
}
has_admin() { has "$1" || any "/usr/sbin/$1" "/sbin/$1"; }

install_debian() {
    local missing
    mapfile -t missing < <(
        missing_packages postgresql rabbitmq-server
        has_admin pgbouncer || echo pgbouncer # a test puts it in front of the database
        [ "$faults" = no ] || faults_packages
        has cc || echo build-essential
        has pkg-config || echo pkg-config
        has curl || echo curl
        [ -e /etc/ssl/certs/ca-certificates.crt ] || echo ca-certificates
    )
    [ ${#missing[@]} -gt 0 ] || return 0
    say "installing with apt-get: ${missing[*]}"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
}

install_macos() {
    local missing
    has cc || die "no C compiler: run 'xcode-select --install', then this again"
    missing=$(missing_packages postgresql@17 rabbitmq)
    [ -n "$missing" ] || return 0
    has brew || die "needs Homebrew (https://brew.sh) to install:" $missing
    say "installing with Homebrew:" $missing
    # shellcheck disable=SC2086 # one word for each package
    brew install $missing
}

# rustup fetches the version that rust-toolchain.toml names; a cargo without it must be new enough.
has_rust() {
    has rustup || [ -x "${CARGO_HOME:-$HOME/.cargo}/bin/rustup" ] && return 0
    has cargo || return 1
    local wanted found
    wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$(dirname "$0")/../Cargo.toml")
    found=$(cargo --version | cut -d ' ' -f 2)
    [ "$(printf '%s\n' "$wanted" "$found" | sort -V | head -n 1)" = "$wanted" ]
}

install_rust() {
    has_rust && return 0
    has curl || die "needs curl to install Rust, or install Rust yourself: https://rustup.rs"
    say "installing Rust with rustup"
    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs |
        sh -s -- -y --profile minimal --default-toolchain none
}

if has apt-get; then install_debian
elif [ "$(uname -s)" = Darwin ]; then install_macos
else
    has_postgres || die "install PostgreSQL 13 or newer (initdb and postgres on PATH), then run this again"
    has_rabbitmq || die "install RabbitMQ 3.10 or newer (rabbitmq-server on PATH), then run this again"
    has cc || die "install a C compiler (cc on PATH), then run this again"
fi
install_rust
has_postgres && has_rabbitmq || die "PostgreSQL or RabbitMQ is still not to be found after the installation"
say "all there"
