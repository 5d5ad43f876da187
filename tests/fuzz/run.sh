#!/usr/bin/env bash
# Fuzzes every target, or those named, for so many seconds each. See README.md.
#   tests/fuzz/run.sh [SECONDS] [TARGET…]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

seconds="${1:-60}"
targets=("${@:2}")
if ((${#targets[@]} == 0)); then
    targets=(raw_line pipeline source_contract table_contract)
fi

# Outside the checkout: every dependency is compiled once more, with instrumentation.
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$HOME/.cache/redlake-target-fuzz}"
found="$CARGO_TARGET_DIR/found"

command -v cargo-fuzz >/dev/null || cargo install cargo-fuzz --locked

# What is fuzzed is built from the versions that the crate is built from.
cp ../../Cargo.lock Cargo.lock
# A sanitizer would need a nightly compiler; the crate has no unsafe code of its own.
cargo fuzz build --fuzz-dir . --sanitizer none
built="$CARGO_TARGET_DIR/$(rustc -vV | sed -n 's/^host: //p')/release"
# The crate's own binaries know where DuckDB's library is. A package that depends on it is not told.
duckdb="$(sed -n 's/^cargo:rustc-link-search=native=//p' "$built"/build/redlake-*/output | tail -1)"
export LD_LIBRARY_PATH="$duckdb${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"

status=0
for target in "${targets[@]}"; do
    place="$found/$target"
    log="$place/log"
    mkdir -p "$place/corpus" "$place/findings"
    ended=0
    # New inputs go to the first folder, so that the seeds stay as they are.
    "$built/$target" "$place/corpus" "corpus/$target" \
        -dict="dictionaries/$target.dict" -artifact_prefix="$place/findings/" \
        -max_total_time="$seconds" -max_len=16384 -timeout=10 -rss_limit_mb=2048 \
        -print_final_stats=1 >"$log" 2>&1 || ended=$?

    runs="$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")"
    coverage="$(grep -o 'cov: [0-9]*' "$log" | tail -1 || true)"
    printf '%-16s %s executions, %s\n' "$target" "${runs:-no}" "${coverage:-cov: unknown}"
    if ((ended != 0)); then
        status=1
        printf '%-16s FINDING (exit code %s), see %s\n' "$target" "$ended" "$log"
        grep -A 1 -E "panicked at|ERROR: libFuzzer" "$log" || true
        for input in "$place/findings/"*-*; do
            [[ -e $input ]] || continue
            printf 'again: LD_LIBRARY_PATH=%s %s %s\n' "$LD_LIBRARY_PATH" "$built/$target" "$input"
        done
    fi
done
exit "$status"
