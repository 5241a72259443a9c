#!/usr/bin/env bash
# Builds the documentation site into target/book, checks its links, and runs the examples of docs/examples/ against a
# `florin dev` of its own. `make docs` installs what is missing first: mdBook, and the ordinary clients of each language.
# With --site it only builds the site and checks the links.
set -euo pipefail
cd "$(dirname "$0")/.."

MDBOOK=0.5.4
PIKA=1.4.4
work=$PWD/target/docs
tools=$PWD/target/tools
examples=$PWD/docs/examples
built=${CARGO_TARGET_DIR:-target}/debug

say() { printf 'docs: %s\n' "$*"; }
die() { printf 'docs: %s\n' "$*" >&2; exit 1; }
has() { command -v "$1" >/dev/null 2>&1; }

install_mdbook() {
    [ "$("$tools/bin/mdbook" --version 2>/dev/null)" = "mdbook v$MDBOOK" ] && return 0
    # Without the server of `mdbook serve`, which is half of what there is to compile.
    cargo install mdbook --version "$MDBOOK" --locked --no-default-features --features search --root "$tools"
}

install_clients() {
    local missing=()
    python3 -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv)
    has node || missing+=(nodejs)
    has npm || missing+=(npm)
    has go || missing+=(golang-go)
    has javac || missing+=(default-jdk-headless)
    [ -d /usr/share/gocode/src/github.com/rabbitmq/amqp091-go ] || missing+=(golang-github-rabbitmq-amqp091-go-dev)
    [ -e /usr/share/java/jackson-databind.jar ] || missing+=(libjackson2-databind-java)
    if [ ${#missing[@]} -gt 0 ]; then
        has apt-get || die "install ${missing[*]}, then run this again"
        local as_root=()
        [ "$(id -u)" = 0 ] || as_root=(sudo)
        "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -qq
        "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
    fi
    [ -x "$work/venv/bin/python" ] || python3 -m venv "$work/venv"
    "$work/venv/bin/pip" --quiet install "pika==$PIKA"
    mkdir -p "$work/node"
    cp "$examples/package.json" "$examples/package-lock.json" "$work/node/"
    npm --prefix "$work/node" ci --silent --no-audit --no-fund
}

start_florin() {
    cargo build --locked --package florin --package florin-client --bin florin --example exact --example first_request
    local ready=$work/ready.json
    rm -f "$ready"
    "$built/florin" dev --ready-file "$ready" >"$work/florin.log" 2>&1 &
    florin=$!
    trap 'kill -INT "$florin" 2>/dev/null || true; wait "$florin" 2>/dev/null || true' EXIT
    until [ -s "$ready" ]; do
        kill -0 "$florin" 2>/dev/null || { cat "$work/florin.log" >&2; die "florin dev ended before it was ready"; }
        sleep 0.1
    done
    value() { sed -n "s/.*\"$1\" *: *\"\([^\"]*\)\".*/\1/p" "$ready"; }
    AMQP_URL=$(value amqp_url) FLORIN_URL=$(value http_url) FLORIN_API_KEY=$(value operator_key)
    export AMQP_URL FLORIN_URL FLORIN_API_KEY
}

# Each language with its ordinary client, as the pages say.
python() { "$work/venv/bin/python" "$examples/$1"; }
node() { cp "$examples/$1" "$work/node/" && (cd "$work/node" && command node "$1"); }
golang() { GOPATH=/usr/share/gocode GO111MODULE=off GOCACHE="$work/go" go run "$examples/$1"; }
java() { command java -cp '/usr/share/java/*' "$examples/$1"; }
shell() { sh "$examples/$1"; }
rust() { "$built/examples/$1"; }

must_be() { # WHAT WANTED FOUND
    [ "$2" = "$3" ] || die "$1: expected $2, got $3"
    say "$1: $3"
}

# The same request in five ways is one request: one transaction, applied once.
first_requests() {
    local answer id first=''
    for language in 'python first_request.py' 'node first_request.mjs' 'golang first_request.go' 'rust first_request' 'shell first_request.sh'; do
        answer=$($language)
        id=$(grep -oE '[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}' <<<"$answer") || die "$language: $answer"
        first=${first:-$id}
        must_be "$language" "$first" "$id"
    done
    must_be 'balance of wallet 1' '{"actual_balance":{"USD":10.5}}' "$(balance 1)"
}
balance() {
    curl --silent --show-error --fail-with-body "$FLORIN_URL/wallets/$1/balance" -H "Authorization: Bearer $FLORIN_API_KEY" |
        sed 's/.*"body":\(.*\)}/\1/'
}

exact_numbers() {
    for language in 'python exact.py' 'node exact.mjs' 'golang exact.go' 'java Exact.java' 'rust exact'; do
        must_be "$language" 123456789012345678.123456 "$($language)"
    done
}

# The consumer runs for ever: it is ended when it has told of the payment that the retries made.
events_and_retries() {
    local events=$work/events.txt consumer transaction
    : >"$events"
    PYTHONUNBUFFERED=1 "$work/venv/bin/python" "$examples/events.py" >"$events" 2>&1 &
    consumer=$!
    until grep -q waiting "$events"; do
        kill -0 "$consumer" || { cat "$events" >&2; die "events.py ended"; }
        sleep 0.1
    done
    transaction=$(python retry.py)
    say "retry.py: $transaction"
    timeout 20 sh -c "until grep -q 'wallet 2 has 25 USD' '$events'; do sleep 0.1; done" || {
        cat "$events" >&2
        die "events.py did not see the payment"
    }
    kill "$consumer"
    wait "$consumer" 2>/dev/null || true
    say "events.py: $(tail -n 1 "$events")"
}

mkdir -p "$work"
install_mdbook
"$tools/bin/mdbook" build
python3 scripts/check_links.py target/book README.md CONTRIBUTING.md SECURITY.md CHANGELOG.md
[ "${1:-}" != --site ] || exit 0
install_clients
start_florin
first_requests
exact_numbers
events_and_retries
say "the site is target/book/index.html"
