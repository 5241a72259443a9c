#!/usr/bin/env bash
# All that must hold before a change is done. `make test` installs what is missing first.
set -euo pipefail
cd "$(dirname "$0")/.."

step() { printf '\n== %s\n' "$*"; "$@"; }

scripts/check.sh
step cargo test --workspace --locked

# Once more what depends most on the servers, on the newest ones.
if newest=$(scripts/servers.sh forky rabbitmq-server postgresql-18); then
    eval "$newest"
    printf '\n== on RabbitMQ 4.3 and PostgreSQL 18'
    # The same selection of packages as above: with another one, Cargo would build them again.
    step cargo test --workspace --locked --test integration -- access:: asyncapi:: seed:: vectors:: unknown_fields::
    step cargo test --workspace --locked --test recovery
else
    printf '\ntest: RabbitMQ 4.3 and PostgreSQL 18 cannot be fetched: those tests are left out\n'
fi
