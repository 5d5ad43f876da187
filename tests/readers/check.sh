#!/usr/bin/env bash
# Makes lakes on the sandbox and lets other Parquet readers read them. See README.md.
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

# No compiled modules in the checkout.
export PYTHONDONTWRITEBYTECODE=1
scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT
demo=pipelines/demo.yaml
states=0

redlake() {
    "$bin" "$@" --quiet >/dev/null
}

# A title, a lake, and options of check.py.
check() {
    states=$((states + 1))
    printf '== %s\n\n' "$1"
    python3 tests/readers/check.py "$bin" "$2" "${@:3}" | tee -a "$scratch/results" || true
    echo
}

# The second run adds a second snapshot, an hour after the first.
lake="$scratch/two_runs"
redlake run "$demo" --lake "$lake"
redlake run "$demo" --lake "$lake"
check "two runs" "$lake" --expect same-columns --checksums "$scratch/two_runs.json"

redlake compact --before 2026-04-01 --lake "$lake"
check "the same, compacted" "$lake" --expect same-columns --expect compacted \
    --checksums "$scratch/two_runs.json"

# A day with one old run, one with two old runs and a new one, and one with a new run.
lake="$scratch/mixed"
schemas="$scratch/schemas"
python3 tests/readers/change_contracts.py "$schemas"
redlake run "$demo" --lake "$lake" --snapshot-at 2026-03-08T12:00:00+08:00
redlake run "$demo" --lake "$lake"
redlake run "$demo" --lake "$lake"
redlake run "$demo" --lake "$lake" --schemas "$schemas"
redlake run "$demo" --lake "$lake" --schemas "$schemas" --snapshot-at 2026-03-10T12:00:00+08:00
check "three runs, and two with other contracts" "$lake" --schemas "$schemas" \
    --expect mixed-columns --checksums "$scratch/mixed.json"

redlake compact --before 2026-04-01 --lake "$lake" --schemas "$schemas"
check "the same, compacted" "$lake" --schemas "$schemas" \
    --expect mixed-columns --expect compacted --checksums "$scratch/mixed.json"

redlake transform "$demo" --lake "$lake" --schemas "$schemas" --raw "$lake"/raw/*/*/*.zst
check "the same, flattened anew" "$lake" --schemas "$schemas" --expect same-columns

# A state whose check did not come to its last line counts as one failure.
awk -v states="$states" '
    /^[0-9]+ passed, [0-9]+ failed$/ { ended++; passed += $1; failed += $3 }
    END { failed += states - ended; print passed + 0 " passed, " failed + 0 " failed"; exit failed > 0 }
' "$scratch/results"
