#!/usr/bin/env bash
# A rolling upgrade under faults: the previous version and this one together, on one queue and one database.
# `make upgrade` installs what is missing first.
#
# The previous version is the commit in lab/faults/previous-version. It is built in target/previous.
#
# SEED, SEEDS, MINUTES, KINDS, TOPOLOGY as in scripts/faults.sh.
set -euo pipefail
cd "$(dirname "$0")/.."

[ -e .git ] || { echo "upgrade: needs the git repository, to build the previous version" >&2; exit 1; }
commit=$(grep -v '^#' lab/faults/previous-version)
previous=$PWD/target/previous
built=$previous/florin-$commit

if [ ! -x "$built" ]; then
    rm -rf "$previous/tree"
    mkdir -p "$previous/tree"
    git archive "$commit" | tar -x -C "$previous/tree"
    echo "upgrade: building the previous version, $commit"
    (cd "$previous/tree" && CARGO_TARGET_DIR="$previous/target" cargo build --quiet --release --locked -p florin)
    cp "$previous/target/release/florin" "$built"
    # Of later use only with the same commit.
    rm -rf "$previous/target" "$previous/tree"
fi
exec scripts/faults.sh --previous-florin "$built"
