#!/usr/bin/env bash
# Makes queries (default 500) while runs commit and their day is compacted (default 50 times), and looks for each row
# once in every answer:
#
#   tests/lake/queries.sh 500 50
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
REDLAKE_QUERIES="${1:-500}" REDLAKE_COMPACTIONS="${2:-50}" \
    cargo test --test it readers::queries_beside -- --nocapture
