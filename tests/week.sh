#!/usr/bin/env bash
# A week of hourly runs in two shards with kills, outages, quotas and double starts, compared with an
# undisturbed week (the short form is a day, a part of `cargo test`):
#
#   tests/week.sh          # 168 hours
#   tests/week.sh 24
#
# REDLAKE_SEED repeats the kills of an earlier round.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
REDLAKE_HOURS="${1:-168}" cargo test --test it hourly -- --nocapture
