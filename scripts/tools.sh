#!/usr/bin/env bash
# Installs the tools that `make check` needs into target/tools, at the versions that are named here. Safe to
# repeat.
set -euo pipefail
cd "$(dirname "$0")/.."

CARGO_DENY=0.20.2
CARGO_MACHETE=0.9.2
TYPOS=1.52.0
tools=$PWD/target/tools

say() { printf 'tools: %s\n' "$*"; }
die() { printf 'tools: %s\n' "$*" >&2; exit 1; }

# Without optimization: they run for a second, and are built for minutes.
install_crate() {
    local name=$1 version=$2
    case $("$tools/bin/$name" --version 2>/dev/null || true) in *"$version"*) return 0 ;; esac
    say "building $name $version"
    CARGO_TARGET_DIR=$tools/build CARGO_PROFILE_DEV_DEBUG=0 \
        cargo install --quiet --locked --debug --version "$version" --root "$tools" "$name"
}

# The project's own wheel: the program, ready to run.
install_typos() {
    case $("$tools/bin/typos" --version 2>/dev/null || true) in *"$TYPOS"*) return 0 ;; esac
    if python3 -c 'import ensurepip' 2>/dev/null; then
        say "installing typos $TYPOS"
        python3 -m venv "$tools/python"
        "$tools/python/bin/pip" install --quiet --disable-pip-version-check "typos==$TYPOS"
        ln -sf ../python/bin/typos "$tools/bin/typos"
    else
        # Without Python's venv (Debian: python3-venv).
        install_crate typos-cli "$TYPOS"
    fi
}

mkdir -p "$tools/bin"
install_crate cargo-machete "$CARGO_MACHETE"
install_crate cargo-deny "$CARGO_DENY"
install_typos
rm -rf "$tools/build"
