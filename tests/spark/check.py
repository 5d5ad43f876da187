"""Flattens a raw zone with Spark on two executors and compares with the lake's own tables.

    python3 check.py REDLAKE_BINARY LAKE SCRATCH_FOLDER

The lake needs two runs at least, all of them finished. See README.md.
"""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pyspark
import spark_transform

EXECUTORS = 2
# The table of the checks without Spark.
TABLE = "notes"
SCHEMAS = Path(__file__).resolve().parents[2] / "schemas"
MARTS = sorted(path.stem for path in (SCHEMAS / "marts").glob("*.yaml"))


class Checks:
    """Counts what held and keeps what did not."""

    def __init__(self):
        self.passed = 0
        self.failures = []

    def equal(self, what, found, expected):
        if found == expected:
            self.passed += 1
        else:
            self.failures.append(f"{what}: {found!r}, expected {expected!r}")

    def same_rows(self, what, found, expected):
        self.equal(f"what differs in {what}", difference(found, expected), None)

    def finish(self):
        for failure in self.failures:
            print(f"FAILED {failure}")
        print(f"{self.passed} passed, {len(self.failures)} failed")
        return 1 if self.failures else 0


# -- rows


def difference(found, expected):
    """The first thing in which two tables differ, whatever the order of their rows."""
    if columns(found) != columns(expected):
        return f"columns {columns(found)}, expected {columns(expected)}"
    if found.num_rows != expected.num_rows:
        return f"{found.num_rows} rows, expected {expected.num_rows}"
    found, expected = in_order(found), in_order(expected)
    for name in expected.column_names:
        if not found[name].equals(expected[name]):
            pairs = zip(found[name].to_pylist(), expected[name].to_pylist(), strict=True)
            row, (one, other) = next((i, p) for i, p in enumerate(pairs) if p[0] != p[1])
            return f"{name} in row {row}: {one!r}, expected {other!r}"
    return None


def columns(table):
    return [(field.name, str(field.type)) for field in table.schema]


def in_order(table):
    return table.sort_by([(name, "ascending") for name in table.column_names])


def read_files(checks, folder):
    """All rows of a partitioned table; None if it has no files."""
    files = sorted(folder.glob("dt=*/*.parquet"))
    parts = [pyarrow.parquet.ParquetFile(file).read() for file in files]
    for file, part in zip(files, parts, strict=True):
        dates = [str(date) for date in part["snapshot_date"].unique().to_pylist()]
        checks.equal(f"dates in {file}", dates, [file.parent.name.removeprefix("dt=")])
    # Spark says of no column that it is never null.
    parts = [pyarrow.table(part.columns, names=part.column_names) for part in parts]
    return pyarrow.concat_tables(parts) if parts else None


def raw_files(lake):
    return sorted((lake / "raw").rglob("*.ndjson.zst"))


# -- redlake


def tables_of(checks, binary):
    """The tables that pages make; the others are redlake's own accounts, and marts."""
    command = [binary, "schema", "list", "--format", "json"]
    listed = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    tables = [relation["name"] for relation in listed if relation["kind"] != "view"]
    accounts = [table for table in tables if not makes(binary, table)]
    checks.equal("tables that pages do not make", accounts, ["requests", "runs", "searches", *MARTS])
    return [table for table in tables if table not in accounts]


def makes(binary, table):
    command = spark_transform.command_for(table, binary, None)
    empty = subprocess.run(
        [*command, "--in", "-"], stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    return empty.returncode == 0


# -- Spark


def run_spark(binary, lake, tables, scratch):
    """Runs the example on executors of their own; the files it wrote, and its event log."""
    out, events = scratch / "tables", scratch / "events"
    events.mkdir()
    conf = {
        "spark.ui.enabled": "false",
        "spark.eventLog.enabled": "true",
        "spark.eventLog.dir": events.as_uri(),
        "spark.eventLog.compress": "false",
        "spark.eventLog.rolling.enabled": "false",
        # The first task waits until all executors are there.
        "spark.scheduler.minRegisteredResourcesRatio": "1.0",
        "spark.scheduler.maxRegisteredResourcesWaitingTime": "300s",
        # Seconds of work do not pay for the second compiler.
        "spark.executor.extraJavaOptions": "-XX:TieredStopAtLevel=1",
        "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1",
    }
    command = ["spark-submit", "--master", f"local-cluster[{EXECUTORS},1,1024]"]
    for key, value in conf.items():
        command += ["--conf", f"{key}={value}"]
    command += [spark_transform.__file__, "--raw", str(lake / "raw"), "--out", str(out)]
    command += ["--redlake", binary, "--table", *tables]
    done = subprocess.run(
        command, env=spark_environment(scratch), capture_output=True, text=True, timeout=900
    )
    if done.returncode != 0:
        raise SystemExit(f"{done.stderr[-8000:]}\nspark-submit ended with {done.returncode}")
    (log,) = events.iterdir()
    return out, log


def spark_environment(scratch):
    # Executors work in the folder `work` of SPARK_HOME, which is to be no installation's.
    home = scratch / "spark"
    home.mkdir()
    for entry in Path(pyspark.__path__[0]).iterdir():
        if entry.name != "work":
            (home / entry.name).symlink_to(entry)
    return {
        **os.environ,
        "SPARK_HOME": str(home),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_LOCAL_DIRS": str(scratch / "spark-local"),
        "PYSPARK_PYTHON": sys.executable,
        "PYSPARK_DRIVER_PYTHON": sys.executable,
    }


def written_by_executor(log):
    """How many rows each executor wrote, by its id; the driver would be one, too."""
    rows = Counter()
    for line in log.read_text(encoding="utf-8").splitlines():
        event = json.loads(line)
        if event["Event"] == "SparkListenerTaskEnd" and "Task Metrics" in event:
            written = event["Task Metrics"]["Output Metrics"]["Records Written"]
            rows[event["Task Info"]["Executor ID"]] += written
    return {executor: count for executor, count in sorted(rows.items()) if count}


# -- checks


def check_spark(checks, binary, lake, scratch):
    tables = tables_of(checks, binary)
    out, log = run_spark(binary, lake, tables, scratch)
    total = 0
    print(f"{'table':<16}{'lake':>8}{'Spark':>8}  columns  dates")
    for table in tables:
        expected = read_files(checks, lake / "tables" / table)
        found = read_files(checks, out / table)
        if found is None or expected is None:
            checks.equal(f"files of {table}", found, expected)
            print(f"{table:<16}{'-':>8}{'-':>8}")
            continue
        checks.same_rows(f"{table} by Spark", found, expected)
        dates = len(expected["snapshot_date"].unique())
        rows = f"{expected.num_rows:>8}{found.num_rows:>8}"
        print(f"{table:<16}{rows}{len(columns(found)):>9}{dates:>7}")
        total += found.num_rows

    written = written_by_executor(log)
    by_executor = ", ".join(f"{count} by executor {name}" for name, count in written.items())
    print(f"\n{total} rows written: {by_executor}")
    checks.equal("executors that wrote rows", len(written), EXECUTORS)
    checks.equal("rows by all executors", sum(written.values()), total)
    checks.equal("there are rows", total > 0, True)


def check_feeding(checks, binary, lake):
    """The example's own part, without Spark: as its executors call it."""
    expected = read_files(checks, lake / "tables" / TABLE)
    command = spark_transform.command_for(TABLE, binary, None)
    files = raw_files(lake)

    def rows(*arguments):
        return plain(pyarrow.Table.from_batches(spark_transform.rows_of(command, *arguments)))

    opened = pyarrow.concat_tables([rows(f"file:{file}") for file in files])
    checks.same_rows("files that redlake opens itself", opened, expected)

    # Rows of the first run come while most of the second one is still to be read.
    runs = sorted(files, key=lambda file: file.name)
    together = b"".join(file.read_bytes() for file in runs)
    checks.same_rows("runs one after the other", rows("all runs", together), expected)

    # Spark may stop in the middle; this would hang if redlake or the feeder went on.
    batches = spark_transform.rows_of(command, "all runs", together)
    next(batches)
    batches.close()

    try:
        rows("a letter", b"Dear redlake,\n")
        error = None
    except RuntimeError as raised:
        error = str(raised)
    said = "redlake ended with 2 on a letter: error: the input is not a raw file" in str(error)
    checks.equal(f"a file that is no raw file is told as such ({error})", said, True)


def check_shell(checks, binary, lake):
    """The pipelines of README.md, from compressed and from plain lines."""
    expected = read_files(checks, lake / "tables" / TABLE)
    transform = f"'{binary}' transform --in - --out - --table {TABLE}"
    files = f"'{lake}'/raw/*/*/*.ndjson.zst"
    zstdcat = f"'{sys.executable}' '{__file__}' --zstdcat"
    for name, cat in [("cat", "cat"), ("zstdcat", zstdcat)]:
        shell = f"{cat} {files} | {transform}"
        done = subprocess.run(["bash", "-c", shell], stdout=subprocess.PIPE, check=True)
        found = plain(pyarrow.ipc.open_stream(done.stdout).read_all())
        checks.same_rows(f"{name} | redlake transform", found, expected)


def plain(table):
    """Without the promise that a column is never null."""
    return pyarrow.table(table.columns, names=table.column_names)


def zstdcat(paths):
    """Stands in for zstdcat, which is not everywhere."""
    for path in paths:
        with pyarrow.input_stream(path, compression="zstd") as pages:
            sys.stdout.buffer.write(pages.read())


def main():
    if sys.argv[1:2] == ["--zstdcat"]:
        return zstdcat(sys.argv[2:])
    if len(sys.argv) != 4:
        raise SystemExit("usage: check.py REDLAKE_BINARY LAKE SCRATCH_FOLDER")
    binary, lake, scratch = sys.argv[1], Path(sys.argv[2]).resolve(), Path(sys.argv[3]).resolve()
    print(f"pyspark {pyspark.__version__}, pyarrow {pyarrow.__version__}\n")
    checks = Checks()
    check_feeding(checks, binary, lake)
    check_shell(checks, binary, lake)
    check_spark(checks, binary, lake, scratch)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
