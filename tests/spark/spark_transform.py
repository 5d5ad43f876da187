"""Makes tables of a raw zone of any size: Spark reads, spreads and writes, redlake flattens.

    spark-submit spark_transform.py --raw lake/raw --out tables --table notes

Every raw file goes through one `redlake transform`, which writes Arrow batches that Spark takes as
they are. Each executor needs the binary at the path that --redlake names, and pyarrow.
"""

import argparse
import contextlib
import subprocess
import sys
import tempfile
import threading

import pyarrow
from pyspark.sql import SparkSession
from pyspark.sql.functions import col

# The types of redlake's columns, all of them, in Spark's words.
SPARK_TYPES = {
    pyarrow.string(): "string",
    pyarrow.int64(): "bigint",
    pyarrow.float64(): "double",
    pyarrow.bool_(): "boolean",
    pyarrow.date32(): "date",
    pyarrow.timestamp("us", tz="UTC"): "timestamp",
}


def parse_arguments():
    parser = argparse.ArgumentParser(description="Makes tables of a raw zone with Spark.")
    parser.add_argument("--raw", required=True, help="the raw zone, as Spark reads it")
    parser.add_argument("--out", required=True, help="gets a new folder for each table")
    parser.add_argument("--table", required=True, nargs="+")
    parser.add_argument("--redlake", default="redlake", help="the binary, on every executor")
    parser.add_argument("--pipeline", help="the pipeline that made the raw zone, on every executor")
    parser.add_argument(
        "--shared", action="store_true", help="every executor sees --raw: redlake opens the files"
    )
    return parser.parse_args()


def command_for(table, redlake, pipeline):
    return [redlake, "transform", *([pipeline] if pipeline else []), "--out", "-", "--table", table]


def schema_of(command):
    """The table's columns: no pages give no rows, but a schema."""
    done = subprocess.run(
        [*command, "--in", "-"], stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    if done.returncode != 0:
        raise SystemExit(done.stderr.decode(errors="replace"))
    schema = pyarrow.ipc.open_stream(done.stdout).schema
    return ", ".join(f"`{field.name}` {SPARK_TYPES[field.type]}" for field in schema)


def flatten_with(command, shared):
    """The function for mapInArrow: from batches of raw files to batches of rows."""

    def flatten(files):
        for batch in files:
            for row in range(batch.num_rows):
                path = batch.column("path")[row].as_py()
                content = None if shared else batch.column("content")[row].as_buffer()
                yield from rows_of(command, path, content)

    return flatten


def rows_of(command, path, content=None):
    """What redlake makes of a raw file, batch by batch; without content it opens the path."""
    source = local(path) if content is None else "-"
    with (
        tempfile.TemporaryFile() as messages,
        running([*command, "--in", source], content, messages) as redlake,
    ):
        broken = None
        try:
            yield from pyarrow.ipc.open_stream(redlake.stdout)
        except (pyarrow.ArrowException, OSError) as error:
            broken = error
        redlake.stdout.close()
        code = redlake.wait()
        messages.seek(0)
        said = messages.read().decode(errors="replace").strip()
        # To a reader of Arrow a stream that was cut off may look whole; the exit code tells.
        if code != 0:
            raise RuntimeError(f"redlake ended with {code} on {path}: {said}") from broken
        if broken:
            raise broken
        if said:
            print(f"{path}: {said}", file=sys.stderr)


@contextlib.contextmanager
def running(command, content, messages):
    redlake = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=messages
    )
    # redlake writes before it has read all, so neither side may wait for the other.
    feeder = threading.Thread(target=feed, args=(redlake.stdin, content))
    feeder.start()
    try:
        yield redlake
    finally:
        # Spark may stop reading before the end, as with a limit.
        redlake.kill()
        redlake.stdout.close()
        redlake.wait()
        feeder.join()


def feed(pipe, content):
    try:
        with pipe:
            if content is not None:
                pipe.write(content)
    except BrokenPipeError:
        pass  # redlake ended; its exit code tells why


def local(path):
    """The path in a file: URI, as Spark writes it."""
    if not path.startswith("file:/"):
        raise ValueError(f"{path} is no file that redlake can open; leave --shared out")
    return path.removeprefix("file:")


def write_table(spark, arguments, table):
    command = command_for(table, arguments.redlake, arguments.pipeline)
    # One raw file is one run of one source, and is not divided. `content` is the whole file in
    # memory, compressed, 2 GiB at most; with --shared Spark only lists the files.
    files = (
        spark.read.format("binaryFile")
        .option("recursiveFileLookup", True)
        .option("pathGlobFilter", "*.ndjson*")
        .load(arguments.raw)
        .select("path", *([] if arguments.shared else ["content"]))
    )
    rows = files.mapInArrow(flatten_with(command, arguments.shared), schema_of(command))
    rows.withColumn("dt", col("snapshot_date")).write.partitionBy("dt").parquet(
        f"{arguments.out}/{table}"
    )


def main():
    arguments = parse_arguments()
    spark = SparkSession.builder.appName("redlake transform").getOrCreate()
    spark.conf.set("spark.sql.session.timeZone", "UTC")
    # Instants as in a lake, not as INT96.
    spark.conf.set("spark.sql.parquet.outputTimestampType", "TIMESTAMP_MICROS")
    # No more than one file is in a Python worker's memory.
    spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", 1)
    for table in arguments.table:
        write_table(spark, arguments, table)
    spark.stop()


if __name__ == "__main__":
    main()
