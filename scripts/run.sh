#!/usr/bin/env bash
# Starts Florin with a private PostgreSQL and RabbitMQ, runs the demo, and stays until Ctrl-C.
# Arguments go to `florin dev`, such as --data-dir.
set -euo pipefail
cd "$(dirname "$0")/.."

florin=${CARGO_TARGET_DIR:-target}/release/florin
folder=$(mktemp -d)
ready=$folder/ready.json
log=$folder/log
# What other terminals read to use what is started here.
environment=target/florin.env

# Every child is a process group of its own and is waited for in the background: so Ctrl-C reaches
# this script alone, at once, and each child gets one signal (florin takes a second one as "now").
set -m
children=()
clean_up() {
    trap '' INT TERM HUP
    local child
    for child in ${children[@]+"${children[@]}"}; do kill -TERM -- "-$child" 2>/dev/null || true; done
    wait
    rm -rf "$folder" "$environment"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

start() { "$@" & children+=("$!"); }
finish() { start "$@"; wait "$!"; }

finish cargo build --release --locked

echo "run: starting PostgreSQL, RabbitMQ and Florin"
start "$florin" dev --ready-file "$ready" "$@" >"$log" 2>&1
server=$!
until [ -s "$ready" ]; do
    if ! kill -0 "$server" 2>/dev/null; then
        tail -n 40 "$log" >&2
        echo "run: florin dev ended before it was ready" >&2
        exit 1
    fi
    sleep 0.1
done

value() { sed -n "s/.*\"$1\" *: *\"\([^\"]*\)\".*/\1/p" "$ready"; }
amqp_url=$(value amqp_url)
database_url=$(value database_url)
http_url=$(value http_url)
operator_key=$(value operator_key)

mkdir -p target
(umask 077 && cat >"$environment") <<END
export AMQP_URL='$amqp_url' DATABASE_URL='$database_url'
export FLORIN_URL='$http_url' FLORIN_API_KEY='$operator_key'
export PATH='$(cd "$(dirname "$florin")" && pwd)':"\$PATH"
END

# shellcheck source=/dev/null
. "$environment"

finish "$florin" demo

cat <<END

Florin is running. In another terminal, in this folder, take over its addresses, a key and the program \`florin\`:

  . $environment

and try next:

  florin demo
  curl "\$FLORIN_URL/wallets/1/balance" -H "Authorization: Bearer \$FLORIN_API_KEY"
  psql "\$DATABASE_URL" -c 'SELECT * FROM balances'
  florin verify

In a browser: $http_url/console (sign in with $operator_key), $http_url/docs

The log: $log
Ctrl-C stops everything.
END

status=0
wait "$server" || status=$?
tail -n 40 "$log" >&2
echo "run: florin dev ended by itself (exit code $status)" >&2
exit 1
