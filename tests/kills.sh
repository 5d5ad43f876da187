#!/usr/bin/env bash
# Kills a run at N random moments (default 200), continues it each time, and prints the figures:
#
#   tests/kills.sh 200
#
# REDLAKE_SEED repeats the moments of an earlier round.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
REDLAKE_KILLS="${1:-200}" cargo test --test it kills -- --nocapture
