#!/usr/bin/env bash
# Fault runs, one for each seed, on private servers. `make faults` installs what is missing first.
#
# SEED     of the first run; a random one by default. The next runs have the next numbers.
# SEEDS    how many runs (1).
# MINUTES  how long the load runs in all; each run gets its share (3).
# KINDS    only these kinds of faults, with commas between them.
# TOPOLOGY single, or cluster: three nodes of RabbitMQ, and a PostgreSQL with a synchronous standby (single).
# Arguments go to `florin-faults run`. What was violated stays in target/faults/SEED; the results of all runs
# stay in target/faults/*.json, and are added up at the end.
set -euo pipefail
cd "$(dirname "$0")/.."

seed=${SEED:-$((RANDOM * 32768 + RANDOM + 1))}
seeds=${SEEDS:-1}
seconds=$((${MINUTES:-3} * 60 / seeds))
results=$PWD/target/faults
binaries=${CARGO_TARGET_DIR:-target}/release
options=(--seconds "$seconds" --topology "${TOPOLOGY:-single}")
[ -z "${KINDS:-}" ] || options+=(--kinds "$KINDS")

cargo build --release --locked -p florin -p florin-faults
mkdir -p "$results"
violated=() reports=()
for ((number = seed; number < seed + seeds; number++)); do
    folder=$results/$number
    rm -rf "$folder"
    printf '\n== seed %s: %s s\n' "$number" "$seconds"
    code=0
    "$binaries/florin-faults" run --seed "$number" --folder "$folder" "${options[@]}" "$@" || code=$?
    # 130 is Ctrl-C.
    [ "$code" -lt 128 ] || exit "$code"
    if [ -f "$folder/report.json" ]; then
        cp "$folder/report.json" "$results/$number.json"
        reports+=("$results/$number.json")
    fi
    if [ "$code" = 0 ]; then rm -rf "$folder"; else violated+=("$number"); fi
done
if [ ${#reports[@]} -gt 1 ]; then
    printf '\n== all together\n'
    "$binaries/florin-faults" sum "${reports[@]}"
fi
if [ ${#violated[@]} != 0 ]; then
    printf '\nviolated, or without a verdict, of %s seeds: %s; see %s\n' "$seeds" "${violated[*]}" "$results" >&2
    exit 1
fi
printf '\n%s seeds from %s: all clean\n' "$seeds" "$seed"
