#!/usr/bin/env bash
# Makes a lake of two runs on the sandbox and lets other Parquet readers read it. See README.md.
# Takes the binary from REDLAKE_BIN, else builds one; takes python3 from PATH.
set -euo pipefail

bin="${REDLAKE_BIN:+$(realpath "$REDLAKE_BIN")}"
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

# These would send the demo to the real API, where calls cost money, instead of the sandbox.
unset JUSTONEAPI_BASE_URL XHS_OPEN_BASE_URL JUSTONEAPI_TOKEN XHS_OPEN_TOKEN

if [[ -z $bin ]]; then
    cargo build
    bin="$(realpath "${CARGO_TARGET_DIR:-target}/debug/redlake")"
fi

scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT
lake="$scratch/lake"

# The second run adds a second snapshot, an hour after the first.
for _ in 1 2; do
    "$bin" run pipelines/demo.yaml --lake "$lake" --quiet >/dev/null
done

python3 tests/readers/check.py "$bin" "$lake"
