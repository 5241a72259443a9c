#!/usr/bin/env bash
# Florin on other versions of its servers: `florin dev` with the demo, the integration tests, the recovery tests, and a
# fault run, on each pair. Writes the table in docs/reference/servers.md. `make matrix` installs what is missing first.
#
# PAIRS    of Debian suites: RABBITMQ:POSTGRESQL. Without it, each version that scripts/servers.sh knows comes once, at
#          least.
# STEPS    some of: demo integration recovery faults (all).
# SECONDS_OF_A_RUN    how long a fault run lasts (60).
# SEED     of the fault runs (1).
#
# What each step printed stays in target/matrix/.
set -euo pipefail
cd "$(dirname "$0")/.."

PAIRS=${PAIRS:-bookworm:bookworm trixie:bullseye trixie:trixie forky:forky}
SECONDS_OF_A_RUN=${SECONDS_OF_A_RUN:-60}
SEED=${SEED:-1}
STEPS=${STEPS:-demo integration recovery faults}
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
    kill -TERM "$florin"
    wait "$florin" || status=1
    return "$status"
}
tests() { cargo test --workspace --locked --no-fail-fast --test "$1"; }
faults() { "$built/florin-faults" run --seed "$SEED" --seconds "$SECONDS_OF_A_RUN" --florin "$built/florin"; }

failed=()
step() { # PAIR STEP: sets `cell`, what stands in the table
    local log=$work/$1-$2.log status=0 count=
    cell='not run'
    case " $STEPS " in *" $2 "*) ;; *) return ;; esac
    say "$1: $2"
    case $2 in
    integration | recovery) tests "$2" >"$log" 2>&1 || status=$? ;;
    *) "$2" >"$log" 2>&1 || status=$? ;;
    esac
    case $2 in
    integration | recovery)
        count=$(sed -n 's/^test result: .* \([0-9]*\) passed; \([0-9]*\) failed;.*/\1 passed, \2 failed/p' "$log" | tail -n 1)
        ;;
    faults) count=$(sed -n 's/^seed [0-9]*, \([0-9]* faults\), in .*/\1, clean/p' "$log" | head -n 1) ;;
    esac
    cell=${count:-passed}
    if [ "$status" != 0 ]; then
        failed+=("$log")
        cell="FAILED ${count%, clean}"
    fi
}

cargo build --workspace --locked --bin florin --bin florin-faults
case " $STEPS " in
*" integration "* | *" recovery "*) cargo test --workspace --locked --no-run --test integration --test recovery ;;
esac
mkdir -p "$work"
rows=
for pair in $PAIRS; do
    rabbitmq=${pair%:*} postgresql=${pair#*:}
    variables=$(scripts/servers.sh "$rabbitmq" rabbitmq-server)
    eval "$variables"
    variables=$(scripts/servers.sh "$postgresql" "postgresql-${POSTGRESQL[$postgresql]}")
    eval "$variables"
    row=$(versions "$rabbitmq" "$postgresql")
    for name in demo integration recovery faults; do
        step "$rabbitmq-$postgresql" "$name"
        row+="| $cell "
    done
    row+='|'
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
