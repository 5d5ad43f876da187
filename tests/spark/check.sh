#!/usr/bin/env bash
# Makes a lake of two runs on the sandbox, flattens its raw zone again with Spark on two executors,
# and compares the rows. See README.md.
# Takes the binary from REDLAKE_BIN, else builds one; takes python3 and spark-submit from PATH.
set -euo pipefail

bin="${REDLAKE_BIN:+$(realpath "$REDLAKE_BIN")}"
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

java="${JAVA_HOME:+$JAVA_HOME/bin/}java"
version="$("$java" -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p' || true)"
if [[ ${version:-0} -lt 17 ]]; then
    echo "tests/spark needs Java 17 or later (found: ${version:-none});" \
        "on Debian and Ubuntu: apt-get install openjdk-17-jre-headless" >&2
    exit 1
fi

# These would send the demo to the real API, where calls cost money, instead of the sandbox.
unset JUSTONEAPI_BASE_URL XHS_OPEN_BASE_URL JUSTONEAPI_TOKEN XHS_OPEN_TOKEN

if [[ -z $bin ]]; then
    cargo build
    bin="$(realpath "${CARGO_TARGET_DIR:-target}/debug/redlake")"
fi

scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT
lake="$scratch/lake"

# The second run is of the next business day; in UTC it is still the same one.
for at in 2026-03-09T12:00:00+08:00 2026-03-10T00:30:00+08:00; do
    "$bin" run pipelines/demo.yaml --lake "$lake" --snapshot-at "$at" --quiet >/dev/null
done

python3 -B tests/spark/check.py "$bin" "$lake" "$scratch"
