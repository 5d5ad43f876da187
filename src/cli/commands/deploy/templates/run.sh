#!/bin/sh
# Runs the pipeline {{ name | raw }} for one time of its schedule, with retries.
# Written by `redlake deploy`. {% if kind == "kubernetes" %}It takes no argument.{% elif shards > 1 %}Its argument is the part of the searches, such as 2/{{ shards }}.{% else %}It takes no argument.{% endif %}

# The time is taken once: each attempt is the same run, which pays for no page twice.
# It ends with the exit code of the last attempt, and with 0 if the pipeline is already running (7).
# Exit codes 1, 3 and 8 are retried, and so is a run that was killed (137). Only the last attempt tells
# its failure to webhooks. After another signal, the next start continues the run.
set -u

redlake={{ redlake }}
pipeline={{ pipeline }}
lake={{ lake }}
retries={{ retries }}
delay={{ delay }} # seconds before a retry
{% if kind == "kubernetes" and shards > 1 %}
shard=$((JOB_COMPLETION_INDEX + 1))/{{ shards }} # indexes begin with 0, parts with 1
{% else %}
shard=${1:-}
{% if shards > 1 %}
if [ -z "$shard" ]; then
    printf '%s\n' {{ unit }}': give the part of the searches, such as 1/{{ shards }}' >&2
    exit 2
fi
{% endif %}
{% endif %}

child=
pause=
signal=

say() {
    printf '%s\n' {{ unit }}": $*" >&2
}

# Prints the newest time that is due.
due() {
    "$redlake" schedule "$pipeline"
}

# Notes a signal, which ends a pause. A terminal sends its signals to redlake itself.
note() {
    signal=$1
    [ -z "$pause" ] || kill "$pause" 2>/dev/null
}

# Passes on a signal that only this script receives.
terminate() {
    note 143
    [ -z "$child" ] || kill -TERM "$child" 2>/dev/null
}

trap 'note 129' HUP
trap 'note 130' INT
trap terminate TERM

# Returns the exit code of a process. A signal interrupts `wait`, but not this function.
await() {
    wait "$1"
    ended=$?
    while kill -0 "$1" 2>/dev/null; do
        wait "$1"
        ended=$?
    done
    return "$ended"
}

{% if kind == "kubernetes" %}
# The name of a Job of a CronJob ends with its time, in minutes since 1970. A pod that replaces
# another has the same time. A Job that was made by hand takes the newest time that is due.
minutes=${JOB_NAME##*-}
now=$(($(date +%s) / 60))
case $minutes in
'' | 0* | *[!0-9]*) minutes= ;;
*) [ "$minutes" -le "$now" ] && [ $((now - minutes)) -lt 150000 ] || minutes= ;;
esac
if [ -n "$minutes" ]; then
    at=$(date -u -d "@$((minutes * 60))" +%Y-%m-%dT%H:%M:%SZ) || exit
    at=$("$redlake" schedule "$pipeline" --at "$at") || exit
else
    at=$(due) || exit
fi
{% else %}
at=$(due) || exit
{% endif %}

set -- run "$pipeline" --lake "$lake" --snapshot-at "$at"
[ -z "$shard" ] || set -- "$@" --shard "$shard"
attempt=1
while :; do
    [ -z "$signal" ] || exit "$signal"
    if [ "$attempt" -le "$retries" ]; then
        "$redlake" "$@" --will-retry &
    else
        "$redlake" "$@" &
    fi
    child=$!
    await "$child"
    code=$?
    child=
    [ -z "$signal" ] || exit "$code"
    case $code in
    7)
        say 'already running: the run under way does the work'
        exit 0
        ;;
    1 | 3 | 8 | 137) ;;
    *) exit "$code" ;;
    esac
    if [ "$attempt" -gt "$retries" ]; then
        say "exit code $code after $attempt attempts for $at"
        exit "$code"
    fi
    say "exit code $code for $at; attempt $((attempt + 1)) of $((retries + 1)) follows in $delay s"
    sleep "$delay" &
    pause=$!
    await "$pause"
    pause=
    [ -z "$signal" ] || exit "$signal"
    if [ "$(due)" != "$at" ]; then
        say 'the next time is due: no further attempt'
        exit "$code"
    fi
    attempt=$((attempt + 1))
done
