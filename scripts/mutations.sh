#!/usr/bin/env bash
# Shows that the fault runs can fail.
#
# Each patch in lab/faults/mutations/ breaks one guarantee of Florin. It is applied to a copy of the tree,
# built, and run under the faults that its head names (`Kinds`); the checker must report one of the rules in
# `Caught as`. Chance decides what a fault hits, so up to three seeds are tried (`Seeds`, or 1 2 3). Then the
# controls: Florin as it is, on servers that lose what they confirmed.
#
# Arguments: names of mutations and controls; without any, all. `make mutations` installs what is missing
# first. The files of every run stay in target/mutations/runs.
set -euo pipefail
cd "$(dirname "$0")/.."

work=$PWD/target/mutations
tree=$work/tree
runs=$work/runs
SECONDS_OF_A_RUN=${SECONDS_OF_A_RUN:-40}
SEEDS=${SEEDS:-1 2 3}

say() { printf 'mutations: %s\n' "$*"; }
die() { printf 'mutations: %s\n' "$*" >&2; exit 1; }
[ -e .git ] || die "needs the git repository, to know which files belong to the tree"

# Files that did not change keep their times, so that only what a patch touches is built again.
copy_tree() {
    local file
    mkdir -p "$tree"
    while IFS= read -r -d '' file; do
        [ -f "$file" ] || continue
        cmp -s "$file" "$tree/$file" && continue
        mkdir -p "$tree/$(dirname "$file")"
        cp "$file" "$tree/$file"
    done < <(git ls-files -z --cached --others --exclude-standard)
}

# Not as a part of the repository around it: git would look for the paths there.
apply() { (cd "$tree" && GIT_CEILING_DIRECTORIES="$work" git apply "$@"); }
# Not incremental: a build that is interrupted leaves halves that do not fit the next.
build() { (cd "$tree" && CARGO_INCREMENTAL=0 CARGO_TARGET_DIR="$work/target" cargo build --quiet --locked "$@"); }
head_of() { sed -n "s/^$2: //p" "$1" | head -n 1; }
# The rules that a run found broken: "rule" times.
found() {
    [ ! -f "$1/report.json" ] || sed -n '/"violations": {/,/}/s/^ *"\([a-z_]*\)": \([0-9][0-9]*\).*/\1 \2/p' "$1/report.json"
}

missed=()
# NAME PROGRAM_UNDER_TEST PROGRAM_THAT_TESTS KINDS EXPECTED ARGUMENTS... : runs until one of the rules is
# found broken.
must_be_caught() {
    local name=$1 florin=$2 faults=$3 kinds=$4 expected=$5 seed folder rule
    shift 5
    for seed in $SEEDS; do
        folder=$runs/$name-$seed
        rm -rf "$folder"
        mkdir -p "$folder"
        "$faults" run --seed "$seed" --seconds "$SECONDS_OF_A_RUN" --kinds "$kinds" --florin "$florin" \
            --folder "$folder" "$@" >"$folder/log" 2>&1 || true
        if grep -q '^skipped: ' "$folder/log"; then
            printf '%-36s skipped: %s\n' "$name" "$(sed -n 's/^skipped: //p' "$folder/log" | head -n 1)"
            return
        fi
        for rule in $expected; do
            if found "$folder" | grep -q "^$rule "; then
                printf '%-36s caught, seed %s: %s\n' "$name" "$seed" "$(found "$folder" | tr '\n' ',')"
                return
            fi
        done
    done
    printf '%-36s NOT CAUGHT (wanted: %s; see %s)\n' "$name" "$expected" "$runs/$name-*/log"
    missed+=("$name")
}

mutation() {
    local name=$1 patch=$PWD/lab/faults/mutations/$1.patch faults=$work/florin-faults
    [ -f "$patch" ] || die "there is no mutation $name"
    apply "$patch" || die "$patch does not fit the tree any more"
    build -p florin
    # The checker stays as it is, unless it is a client that is broken.
    if grep -q '^+++ b/lab/faults/' "$patch"; then
        build -p florin-faults
        faults=$work/target/debug/florin-faults
    fi
    local SEEDS=$SEEDS own
    own=$(head_of "$patch" Seeds)
    SEEDS=${own:-$SEEDS}
    must_be_caught "$name" "$work/target/debug/florin" "$faults" "$(head_of "$patch" Kinds)" \
        "$(head_of "$patch" 'Caught as')"
    apply -R "$patch"
}

CONTROLS="fsync-off asynchronous-commit"
control() {
    local asynchronous='?options=-csynchronous_commit%3Doff'
    case $1 in
    fsync-off) set -- "$1" --postgres-setting fsync=off ;;
    asynchronous-commit) set -- "$1" --database-url-suffix "$asynchronous" ;;
    *) die "there is no control $1" ;;
    esac
    local name=$1
    shift
    must_be_caught "$name" "$work/florin" "$work/florin-faults" postgres-power-cut \
        "answer_without_row lost read event chain verify" "$@"
}

copy_tree # also takes back what an interrupted run left in it
say "building Florin as it is"
build -p florin -p florin-faults
cp "$work/target/debug/florin" "$work/target/debug/florin-faults" "$work/"

names=("$@")
if [ $# = 0 ]; then
    for patch in lab/faults/mutations/*.patch; do names+=("$(basename "$patch" .patch)"); done
    # shellcheck disable=SC2206 # one word for each
    names+=($CONTROLS)
fi
for name in "${names[@]}"; do
    case " $CONTROLS " in
    *" $name "*) control "$name" ;;
    *) mutation "$name" ;;
    esac
done
[ ${#missed[@]} = 0 ] || die "not caught: ${missed[*]}"
say "all are caught"
