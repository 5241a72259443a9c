#!/usr/bin/env bash
# Florin on other versions of its servers: `florin dev` with the demo, the integration tests, the recovery tests, and a
# fault run, on each pair. Writes the table in docs/reference/servers.md. `make matrix` installs what is missing first.
#
# PAIRS    of Debian suites: RABBITMQ:POSTGRESQL. Without it, each version that scripts/servers.sh knows comes once, at
#          least.
# SECONDS_OF_A_RUN    how long a fault run lasts (60).
# SEED     of the fault runs (1).
#
# What each step printed stays in target/matrix/.
set -euo pipefail
cd "$(dirname "$0")/.."

PAIRS=${PAIRS:-bookworm:bookworm trixie:bullseye trixie:trixie forky:forky}
SECONDS_OF_A_RUN=${SECONDS_OF_A_RUN:-60}
SEED=${SEED:-1}
declare -A POSTGRESQL=([bullseye]=13 [bookworm]=15 [trixie]=17 [forky]=18)
work=$PWD/target/matrix
built=${CARGO_TARGET_DIR:-$PWD/target}/debug
page=docs/reference/servers.md

say() { printf 'matrix: %s\n' "$*"; }

# No server is asked: `rabbitmqctl version` would start one.
versions() { # RABBITMQ_SUITE POSTGRESQL_SUITE
    local rabbitmq
    rabbitmq=$(basename "$(ls -d "target/servers/$1/tree/usr/lib/rabbitmq/lib/rabbitmq_server-"*)")
    printf '| %s | %s ' "${rabbitmq#rabbitmq_server-}" \
        "$("$DEVSTACK_POSTGRES_BIN/postgres" --version | grep -oE '[0-9]+\.[0-9]+' | head -n 1)"
}

demo() {
    local ready=$work/ready.json florin status=0
    rm -f "$ready"
    "$built/florin" dev --ready-file "$ready" &
    florin=$!
    until [ -s "$ready" ]; do
        kill -0 "$florin" 2>/dev/null || return 1
        sleep 0.1
    done
    value() { sed -n "s/.*\"$1\" *: *\"\([^\"]*\)\".*/\1/p" "$ready"; }
    "$built/florin" demo --amqp-url "$(value amqp_url)" --database-url "$(value database_url)" || status=1
    "$built/florin" verify --database-url "$(value database_url)" || status=1
    kill -INT "$florin"
    wait "$florin" || status=1
    return "$status"
}
tests() { cargo test --workspace --locked --no-fail-fast --test "$1"; }
faults() { "$built/florin-faults" run --seed "$SEED" --seconds "$SECONDS_OF_A_RUN" --florin "$built/florin"; }

failed=()
step() { # LOG WHAT COMMAND...: sets `cell`, what stands in the table
    local log=$work/$1.log what=$2 status=0 count
    shift 2
    say "$(basename "$log" .log)"
    "$@" >"$log" 2>&1 || status=$?
    [ "$status" = 0 ] || failed+=("$log")
    case $what in
    tests)
        count=$(sed -n 's/^test result: .* \([0-9]*\) passed; \([0-9]*\) failed;.*/\1 passed, \2 failed/p' "$log" | tail -n 1)
        ;;
    faults) count=$(sed -n 's/^seed [0-9]*, \([0-9]* faults\), in .*/\1/p' "$log" | head -n 1) ;;
    *) count= ;;
    esac
    if [ "$status" = 0 ]; then cell="${count:-passed}"; else cell="FAILED ${count}"; fi
}

cargo build --workspace --locked --bin florin --bin florin-faults
cargo test --workspace --locked --no-run --test integration --test recovery
mkdir -p "$work"
rows=
for pair in $PAIRS; do
    rabbitmq=${pair%:*} postgresql=${pair#*:}
    variables=$(scripts/servers.sh "$rabbitmq" rabbitmq-server)
    eval "$variables"
    variables=$(scripts/servers.sh "$postgresql" "postgresql-${POSTGRESQL[$postgresql]}")
    eval "$variables"
    row=$(versions "$rabbitmq" "$postgresql")
    step "$rabbitmq-$postgresql-demo" demo demo
    row+="| $cell "
    step "$rabbitmq-$postgresql-integration" tests tests integration
    row+="| $cell "
    step "$rabbitmq-$postgresql-recovery" tests tests recovery
    row+="| $cell "
    step "$rabbitmq-$postgresql-faults" faults faults
    row+="| $cell |"
    say "$row"
    rows+=$row$'\n'
done

{
    sed '/^| RabbitMQ /,$d' "$page"
    printf '| RabbitMQ | PostgreSQL | demo | integration tests | recovery tests | faults in %s s |\n' "$SECONDS_OF_A_RUN"
    printf '|---|---|---|---|---|---|\n%s' "$rows"
} >"$work/servers.md"
cp "$work/servers.md" "$page"
if [ ${#failed[@]} != 0 ]; then
    printf 'matrix: failed: %s\n' "${failed[*]}" >&2
    exit 1
fi
say "all passed; see $page"
