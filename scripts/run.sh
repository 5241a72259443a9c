#!/usr/bin/env bash
# Starts Florin with a private PostgreSQL and RabbitMQ, runs the demo, and stays until Ctrl-C.
# Arguments go to `florin dev`, such as --data-dir.
set -euo pipefail
cd "$(dirname "$0")/.."

florin=${CARGO_TARGET_DIR:-target}/release/florin
folder=$(mktemp -d)
ready=$folder/ready.json
log=$folder/log

# Every child is a process group of its own and is waited for in the background: so Ctrl-C reaches
# this script alone, at once, and each child gets one signal (florin takes a second one as "now").
set -m
children=()
clean_up() {
    trap '' INT TERM HUP
    local child
    for child in ${children[@]+"${children[@]}"}; do kill -TERM -- "-$child" 2>/dev/null || true; done
    wait
    rm -rf "$folder"
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

finish "$florin" demo --amqp-url "$amqp_url" --database-url "$database_url"

cat <<END

Florin is running. Try next, in another terminal:

  $florin demo --amqp-url $amqp_url --database-url $database_url
  $florin bench --amqp-url $amqp_url --database-url $database_url
  psql $database_url -c 'SELECT * FROM balances'
  curl $http_url/wallets/1/balance -H 'Authorization: Bearer $operator_key'
  curl $http_url/metrics

In a browser: $http_url/console (sign in with $operator_key), $http_url/docs

The log: $log
Ctrl-C stops everything.
END

status=0
wait "$server" || status=$?
tail -n 40 "$log" >&2
echo "run: florin dev ended by itself (exit code $status)" >&2
exit 1
