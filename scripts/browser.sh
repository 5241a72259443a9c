#!/usr/bin/env bash
# The console and the documentation in a real browser, against a Florin of its own. Installs what is missing:
# Chromium, Node.js and the packages of lab/browser/package-lock.json. `--pictures` also takes docs/images/
# anew.
set -euo pipefail
cd "$(dirname "$0")/.."

has() { command -v "$1" >/dev/null 2>&1; }

missing=()
has chromium || [ -n "${CHROMIUM:-}" ] || missing+=(chromium)
has node || missing+=(nodejs)
has npm || missing+=(npm)
if [ ${#missing[@]} -gt 0 ]; then
    has apt-get || { echo "browser: install ${missing[*]}, then run this again" >&2; exit 1; }
    as_root=()
    [ "$(id -u)" = 0 ] || as_root=(sudo)
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -qq
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        "${missing[@]}" fonts-liberation fonts-dejavu-core
fi

cargo build --locked --bin florin
FLORIN=$(cd "${CARGO_TARGET_DIR:-target}" && pwd)/debug/florin
export FLORIN
cd lab/browser
npm ci --no-audit --no-fund
node console.js "$@"
