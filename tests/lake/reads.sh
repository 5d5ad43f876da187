#!/usr/bin/env bash
# Reads a table through Python's DuckDB (default 2000 times) while runs commit and days are compacted:
#
#   tests/lake/reads.sh 2000
#
# Takes the binary from REDLAKE_BIN, else builds one; takes python3, with the package duckdb, from PATH.
set -euo pipefail
bin="${REDLAKE_BIN:+$(realpath "$REDLAKE_BIN")}"
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
if [[ -z $bin ]]; then
    cargo build
    bin="$(realpath "${CARGO_TARGET_DIR:-target}/debug/redlake")"
fi
scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT
python3 tests/lake/reads.py "$bin" "$scratch/lake" "${1:-2000}"
