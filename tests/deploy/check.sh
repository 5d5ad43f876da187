#!/usr/bin/env bash
# The files of `redlake deploy`, read by the programs that they are for, from a folder whose path has
# spaces, quotes, a percent sign and Chinese characters.
#
#   tests/deploy/check.sh [script|cron|systemd|airflow|kubernetes|github…]    all parts without an argument
#
# It takes redlake from REDLAKE, or target/debug/redlake, and needs Python 3.10 or newer. Its Python
# packages are in requirements*.txt, and go to ~/.cache. The part systemd needs systemd-analyze, cron needs
# crontab (Debian's packages systemd and cron).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
redlake=${REDLAKE:-$here/../../target/debug/redlake}
redlake=$(cd "$(dirname "$redlake")" && pwd)/$(basename "$redlake")
[ $# -gt 0 ] || set -- script cron systemd airflow kubernetes github

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
folder="$work/小红书 50% it's \"x\" \$HOME"
mkdir "$folder"
cd "$folder"
unset REDLAKE_LAKE REDLAKE_SCHEMAS
export TZ=Asia/Shanghai
pipeline='我的 watch.yaml'
printf '%s\n' 露营 敏感肌 > '关键词 1.txt'
cat > "$pipeline" <<'YAML'
version: 1
pipeline: brand_watch
source: {name: justoneapi, base_url: sandbox}
keyword_sets: {k: {file: 关键词 1.txt}}
extract:
  - {endpoint: note_search, keywords: [k], pages: {max: 1}}
limits: {requests_per_second: 1000}
load: {lake: 湖}
schedule: {cron: "*/30 9-17 1,15 * 1-5"}
YAML

passed=0
pass() {
    echo "passed: $*"
    passed=$((passed + 1))
}
fail() {
    echo "failed: $*" >&2
    exit 1
}
need() {
    command -v "$1" > /dev/null || fail "$1 is missing: apt-get install $2"
}
packages() {
    local venv="$HOME/.cache/redlake-deploy-$1"
    [ -x "$venv/bin/python" ] || python3 -m venv "$venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$here/$2"
    PATH="$venv/bin:$PATH"
}
deploy() {
    rm -rf units
    "$redlake" deploy "$@" "$pipeline" -o units > deploy.out
}
# Prints the number of complete runs in the lake.
runs() {
    [ -d 湖 ] || { echo 0; return; }
    "$redlake" query --lake 湖 "select count(*) from runs where status = 'complete'" --format csv | tail -1
}

# The script of cron and systemd, with a fake redlake that ends with each exit code in turn.
check_script() {
    deploy cron
    mkdir -p fake
    cat > fake/redlake <<'SH'
#!/bin/sh
cd "${0%/*}" || exit
case $1 in schedule) echo 2026-03-09T09:00:00+08:00; exit ;; esac
echo "$*" >> log
read -r code < codes
sed -i 1d codes
exit "$code"
SH
    printf '#!/bin/sh\n' > fake/sleep
    chmod +x fake/redlake fake/sleep
    sed "s|^redlake=.*|redlake=\$PWD/fake/redlake|" units/redlake-brand-watch.sh > fake/run.sh
    for row in '0:1:0' '1 0:2:0' '3 0:2:0' '8 3 1 0:4:0' '8 8 8 8:4:8' '2:1:2' '4:1:4' '5:1:5' '6:1:6' \
        '7:1:0' '129:1:129' '130:1:130' '143:1:143'; do
        IFS=: read -r codes attempts expected <<< "$row"
        printf '%s\n' $codes > fake/codes
        rm -f fake/log
        code=0
        PATH="$PWD/fake:$PATH" sh fake/run.sh 2> fake/told || code=$?
        [ "$code" = "$expected" ] || fail "exit codes $codes end with $code, not $expected"
        [ "$(wc -l < fake/log)" = "$attempts" ] || fail "exit codes $codes: $(wc -l < fake/log) attempts"
        [ "$(sed 's/ --will-retry$//' fake/log | sort -u | wc -l)" = 1 ] || fail "the attempts differ: $(cat fake/log)"
        grep -q -- '--snapshot-at 2026-03-09T09:00:00+08:00' fake/log || fail "no time: $(cat fake/log)"
    done
    pass 'script: 13 sequences of exit codes, attempts and logical time'
    rm -rf 湖
    sh units/redlake-brand-watch.sh > /dev/null
    sh units/redlake-brand-watch.sh > /dev/null
    sh units/redlake-brand-watch-upkeep.sh daily > /dev/null
    [ "$(runs)" = 1 ] || fail "two starts for one time are $(runs) runs"
    pass 'script: two starts on the sandbox are one run; compact and verify'
    if "$redlake" status --help > /dev/null 2>&1; then
        sh units/redlake-brand-watch-upkeep.sh status > /dev/null || fail 'status finds something wrong'
        pass 'script: status'
    fi
}

# A parser reads the times, crontab the file, and a shell each command as cron passes it on.
check_cron() {
    need crontab cron
    packages tools requirements.txt
    for zone in Asia/Shanghai UTC Europe/Berlin; do
        TZ=$zone deploy cron --shards 2
        python3 - units/redlake-brand-watch.crontab <<'PY'
import sys
from datetime import datetime
from cronsim import CronSim

lines = [line for line in open(sys.argv[1]) if not line.startswith("#")]
times = [line.split(" ", 5)[:5] for line in lines if not line.startswith("@reboot /bin/sh ")]
assert len(lines) >= 6 and len(times) == len(lines) - 2, lines
for fields in times:
    next(CronSim(" ".join(fields), datetime(2026, 3, 9)))
PY
    done
    pass 'cron: a parser reads the times, in three zones'
    # A crontab of another account of this machine stays as it is.
    if crontab -l > "$work/crontab.before" 2> /dev/null; then
        echo 'not run: crontab, since this account has one'
    else
        crontab units/redlake-brand-watch.crontab || fail 'crontab refuses the file'
        crontab -r
        pass 'cron: crontab takes the file'
    fi
    TZ=Asia/Shanghai deploy cron
    rm -rf 湖
    command=$(sed -n 's|^@reboot ||p' units/redlake-brand-watch.crontab)
    sh -c "$(printf '%s' "$command" | sed 's/\\%/%/g')"
    [ "$(runs)" = 1 ] || fail 'the command of the crontab makes no run'
    pass 'cron: the command makes a run on the sandbox'
}

check_systemd() {
    need systemd-analyze systemd
    for shards in 1 2; do
        deploy systemd --shards $shards
        # A name with an instance, as systemd verifies no template.
        (cd units && for unit in *@.service *@.timer; do [ ! -f "$unit" ] || cp "$unit" "${unit/@./@1.}"; done)
        (cd units && systemd-analyze verify --man=no $(ls | grep -E '\.(service|timer)$' | grep -v '@\.')) \
            > verify.out 2>&1 || fail "systemd-analyze verify: $(cat verify.out)"
        # Remarks about our units, not about those of this machine.
        ! grep -i redlake verify.out || fail 'systemd-analyze verify has remarks'
        sed -n 's/^OnCalendar=//p' units/*.timer | while IFS= read -r at; do
            systemd-analyze calendar "$at" > /dev/null || fail "systemd-analyze calendar: $at"
        done
    done
    pass 'systemd: systemd-analyze verifies the units, and reads each time'
}

check_airflow() {
    packages airflow requirements-airflow.txt
    export AIRFLOW_HOME="$work/airflow" AIRFLOW__CORE__LOAD_EXAMPLES=false
    # Airflow reads this setting as a text with variables, so the folder has no `$` and `%`.
    export AIRFLOW__CORE__DAGS_FOLDER="$work/小红书 dags"
    mkdir -p "$AIRFLOW_HOME" "$AIRFLOW__CORE__DAGS_FOLDER"
    rm -rf 湖
    "$redlake" deploy airflow "$pipeline" > "$AIRFLOW__CORE__DAGS_FOLDER/redlake_brand_watch_dag.py"
    airflow db migrate > airflow.out 2>&1 || fail "airflow db migrate: $(tail -20 airflow.out)"
    airflow dags reserialize > airflow.out 2>&1 || fail "airflow dags reserialize: $(tail -20 airflow.out)"
    airflow dags list-import-errors 2> airflow.err > airflow.out || fail "import errors: $(cat airflow.out)"
    airflow dags list --output plain 2> airflow.err > airflow.out
    for dag in redlake-brand-watch redlake-brand-watch-upkeep redlake-brand-watch-status; do
        grep -q "^$dag " airflow.out || fail "no DAG $dag: $(cat airflow.out)"
    done
    pass "airflow: $(airflow version 2> /dev/null | tail -1) loads three DAGs"
    for attempt in 1 2; do
        airflow dags test redlake-brand-watch 2026-11-27T10:00:00+08:00 > airflow.out 2>&1 ||
            fail "airflow dags test: $(tail -40 airflow.out)"
    done
    [ "$(runs)" = 1 ] || fail "two starts for one logical date are $(runs) runs: $(tail -40 airflow.out)"
    pass 'airflow: two runs of the DAG for one logical date are one run of redlake'
    airflow dags test redlake-brand-watch-upkeep > airflow.out 2>&1 || fail "upkeep: $(tail -40 airflow.out)"
    pass 'airflow: the DAG of the upkeep'
    printf '#!/bin/sh\nexit "$1"\n' > exits
    chmod +x exits
    python3 - "$AIRFLOW__CORE__DAGS_FOLDER" > airflow.out 2>&1 <<'PY' || fail "exit codes: $(tail -5 airflow.out)"
import sys
from pathlib import Path
from airflow.exceptions import AirflowException, AirflowFailException

sys.path.insert(0, sys.argv[1])
import redlake_brand_watch_dag as dag

dag.REDLAKE = str(Path("exits").absolute())


def outcome(code):
    try:
        dag.redlake(str(code))
        return "success"
    except AirflowFailException:
        return "failure"
    except AirflowException:
        return "retry"


outcomes = {code: outcome(code) for code in (0, 7, 1, 3, 8, 129, 130, 143, 2, 4, 5, 6, 9)}
expected = ["success"] * 2 + ["retry"] * 6 + ["failure"] * 5
assert list(outcomes.values()) == expected, outcomes
PY
    pass 'airflow: exit codes are retried, failures or a success'
}

check_kubernetes() {
    packages tools requirements.txt
    for shards in 1 4; do
        "$redlake" deploy kubernetes "$pipeline" --shards $shards > manifests.yaml
        for version in 1.29 1.34; do
            kubernetes-validate --strict --kubernetes-version $version manifests.yaml > kubernetes.out 2>&1 ||
                fail "kubernetes-validate: $(cat kubernetes.out)"
        done
    done
    python3 - manifests.yaml <<'PY'
import sys, yaml

documents = list(yaml.safe_load_all(open(sys.argv[1], encoding="utf-8")))
files = next(d for d in documents if d["kind"] == "ConfigMap")["data"]
assert files["pipeline.yaml"] == open("我的 watch.yaml", encoding="utf-8").read()
assert files["file-1"] == open("关键词 1.txt", encoding="utf-8").read()
assert [d["kind"] for d in documents].count("CronJob") == 3
open("run.sh", "w", encoding="utf-8").write(files["run.sh"])
PY
    sh -n run.sh
    pass 'kubernetes: the manifests fit the schemas of 1.29 and 1.34, and hold the files byte for byte'
}

check_github() {
    packages tools requirements.txt
    for shards in 1 4; do
        deploy github-actions --shards $shards
        check-jsonschema --builtin-schema vendor.github-workflows units/redlake-brand-watch.yml > github.out 2>&1 ||
            fail "check-jsonschema: $(cat github.out)"
    done
    deploy github-actions
    rm -rf 湖
    python3 - units/redlake-brand-watch.yml > step.sh <<'PY'
import sys, yaml

workflow = yaml.safe_load(open(sys.argv[1], encoding="utf-8"))
print(workflow["jobs"]["run"]["steps"][0]["run"])
PY
    sh step.sh > /dev/null
    [ "$(runs)" = 1 ] || fail 'the step of the workflow makes no run'
    pass 'github: the workflow fits its schema, and its step makes a run on the sandbox'
}

for part in "$@"; do
    case $part in
    script | cron | systemd | airflow | kubernetes | github) "check_$part" ;;
    *) fail "no part $part" ;;
    esac
done
echo "$passed passed, 0 failed"
