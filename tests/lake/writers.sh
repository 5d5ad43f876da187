#!/usr/bin/env bash
# Lets processes (default 8) run pipelines into one lake at once, some times each (default 25), and
# looks for each row once:
#
#   tests/lake/writers.sh 8 25
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
REDLAKE_WRITERS="${1:-8}" REDLAKE_COMMITS="${2:-25}" cargo test --test it crashes::processes -- --nocapture
