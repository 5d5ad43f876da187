#!/bin/sh
# Keeps the lake of the pipeline {{ name | raw }}. Written by `redlake deploy`.
#   daily    merges small files, and checks all files
#   status   ends with exit code 9 if something is wrong, such as no run for {{ max_age | raw }}
# It does each step, and ends with the exit code of the last one that failed.
set -u

redlake={{ redlake }}
pipeline={{ pipeline }}
lake={{ lake }}
worst=0

# What a step prints is on stderr if it failed: cron mails that, and drops the rest.
step() {
    printed=$("$redlake" "$@" --lake "$lake")
    code=$?
    if [ "$code" -eq 0 ]; then
        printf '%s\n' "$printed"
    else
        printf '%s\n' "$printed" >&2
        printf '%s\n' {{ unit }}"-upkeep: exit code $code of redlake $*" >&2
        worst=$code
    fi
}

case ${1:-} in
daily)
    step compact
    step verify
    {% if keeps_raw %}
    # Runs remove raw pages by themselves: {{ keeps_raw | raw }} in the pipeline.
    {% else %}
    # Removes answers that were paid for. Look at the list first: redlake prune --dry-run
    # step prune --raw-older-than 90d
    {% endif %}
    ;;
status) step status "$pipeline" --max-age {{ max_age }} --notify ;;
*)
    printf '%s\n' {{ unit }}'-upkeep: give `daily` or `status`' >&2
    worst=2
    ;;
esac
exit "$worst"
