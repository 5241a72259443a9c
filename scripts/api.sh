#!/usr/bin/env bash
# Lets schemathesis generate thousands of requests from /openapi.json and check every answer against it:
# status, type, schema, and that what the document forbids is refused. `make api` installs what is missing
# first.
set -euo pipefail
cd "$(dirname "$0")/.."

VERSION=4.32.5
folder=target/schemathesis
tool=$folder/bin/schemathesis
if [ ! -x "$tool" ]; then
    python3 -c 'import ensurepip' 2>/dev/null || { echo "api: needs python3 with venv (apt-get install python3-venv)" >&2; exit 1; }
    python3 -m venv "$folder"
    "$folder/bin/pip" --quiet install "schemathesis==$VERSION"
fi

cargo build --quiet --locked
ready=$(mktemp -u)
target/debug/florin dev --http-port 0 --ready-file "$ready" >"$folder/florin.log" 2>&1 &
florin=$!
stop() { kill -INT "$florin" 2>/dev/null || true; wait "$florin" 2>/dev/null || true; }
trap stop EXIT
until [ -f "$ready" ]; do
    kill -0 "$florin" 2>/dev/null || { cat "$folder/florin.log" >&2; exit 1; }
    sleep 0.1
done
field() { python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$ready" "$1"; }

# All checks, but that what the document allows is done: the rules may refuse it (400: no such ticker, not
# enough money); and that a batch with a wrong operation is refused: only that operation is.
settings=$folder/florin.toml
cat >"$settings" <<'TOML'
[checks]
positive_data_acceptance.enabled = false
[[operations]]
include-name = "POST /batch"
checks.negative_data_rejection.enabled = false
TOML
"$tool" --config-file "$settings" run "$(field http_url)/openapi.json" \
    --header "Authorization: Bearer $(field operator_key)" \
    --max-examples "${EXAMPLES:-150}" --workers 1 --seed "${SEED:-1}" --no-color \
    --exclude-path-regex '^/(metrics|healthz|readyz|openapi.json|asyncapi.json)$' "$@"
