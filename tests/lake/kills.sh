#!/usr/bin/env bash
# Kills commits and compactions at N random moments (default 1000), opens the lake again each time,
# compares all tables, and prints the figures:
#
#   tests/lake/kills.sh 1000
#
# REDLAKE_SEED repeats the moments of an earlier round.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
REDLAKE_COMMIT_KILLS="${1:-1000}" cargo test --test it crashes::killed -- --nocapture
