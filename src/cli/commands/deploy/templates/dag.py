"""The redlake pipeline {{ name | raw }} on its schedule, for Airflow 3. Written by `redlake deploy`.

Put this file into the folder of DAGs. Its tasks run on a worker that has the paths below. redlake reads
the tokens from .env beside the pipeline.
"""

import subprocess
from datetime import datetime, timedelta, timezone

from airflow.exceptions import AirflowException, AirflowFailException
from airflow.sdk import DAG, task
from airflow.timetables.trigger import CronTriggerTimetable

REDLAKE = {{ redlake }}
PIPELINE = {{ pipeline }}
LAKE = {{ lake }}
TIMEZONE = {{ timezone }}
RETRIES = {{ retries }}
RETRY_DELAY = timedelta(seconds={{ delay }})
DEADLINE = timedelta(seconds={{ deadline }})  # a run that hangs is stopped


def redlake(*args):
    """Runs a command of redlake, whose output goes to the task's log."""
    command = [REDLAKE, *args, "--lake", LAKE]
    print("$", *command)
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )
    try:
        for line in process.stdout:
            print(line, end="")
        code = process.wait()
    except BaseException:  # the task is stopped; redlake keeps what was paid for
        process.terminate()
        process.wait(timeout=120)
        raise
    if code in (0, 7):  # 7: the run under way does the work
        return
    # Failures that pass, and interruptions: the same run is continued.
    if code in (1, 3, 8, 129, 130, 143) or code < 0:
        raise AirflowException(f"redlake {args[0]} ended with exit code {code}")
    raise AirflowFailException(f"redlake {args[0]} ended with exit code {code}: no retry")


def timetable(cron):
    return CronTriggerTimetable(cron, timezone=TIMEZONE)


common = {
    "start_date": datetime(2026, 1, 1, tzinfo=timezone.utc),
    "catchup": False,  # the API cannot return the results of the past
    "max_active_runs": 1,
    "tags": ["redlake"],
}

with DAG(
    dag_id={{ unit }},
    schedule=timetable({{ calendar.run[0] }}),
    dagrun_timeout=DEADLINE,
    default_args={"retries": RETRIES, "retry_delay": RETRY_DELAY},
    **common,
):

    @task
    def run(shard=None, dag_run=None, ti=None):
        # All attempts of a task have the same logical time, so they are one run.
        at = dag_run.logical_date or dag_run.run_after
        part = ["--shard", shard] if shard else []
        # Only the last attempt tells its failure to webhooks.
        retry = ["--will-retry"] if ti.try_number <= ti.max_tries else []
        redlake("run", PIPELINE, "--snapshot-at", at.isoformat(), *part, *retry)

{% for shard in shard_list %}
{% if shard %}
    run.override(task_id="run_{{ loop.index }}")({{ shard }})
{% else %}
    run()
{% endif %}
{% endfor %}

with DAG(dag_id={{ unit_upkeep }}, schedule=timetable({{ calendar.daily[0] }}), **common):

    @task
    def compact():
        redlake("compact")

    @task
    def verify():
        redlake("verify")

{% if keeps_raw %}
    # Runs remove raw pages by themselves: {{ keeps_raw | raw }} in the pipeline.
{% else %}
    # Removes answers that were paid for. Look at the list first: redlake prune --dry-run
    # @task
    # def prune():
    #     redlake("prune", "--raw-older-than", "90d")
{% endif %}
    compact() >> verify()

with DAG(dag_id={{ unit_status }}, schedule=timetable({{ calendar.status[0] }}), **common):

    @task
    def status():
        redlake("status", PIPELINE, "--max-age", {{ max_age }}, "--notify")

    status()
