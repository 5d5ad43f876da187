"""Reads a table by glob while runs commit and days are compacted.

    python3 reads.py REDLAKE_BINARY LAKE [READS]

It goes on for 25 compactions at least. Every count has to be one that some committed state had. A reader that had listed a day's folder
before it was exchanged, and opens its files after, gets an error from DuckDB: those are counted.
Needs the package duckdb. See README.md.
"""

import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import duckdb

PIPELINE = """
version: 1
pipeline: {name}
source: {{name: justoneapi, base_url: sandbox}}
keyword_sets: {{words: [兰蔻]}}
extract:
  - {{endpoint: user_search, keywords: [words], pages: {{max: 1}}}}
"""
TABLE = "search_results"
# That many compactions at least, however quick the reads are.
COMPACTIONS = 25


class Writer(threading.Thread):
    """Commits runs to one day, and compacts it after every few, until told to stop."""

    def __init__(self, binary, lake):
        super().__init__()
        self.binary, self.lake = binary, lake
        self.rows = 0
        # Counts that are committed, or may be before the command that commits them ends.
        self.states = {0}
        self.runs = self.compactions = 0
        self.stop = threading.Event()
        self.error = None

    def run(self):
        try:
            while not self.stop.is_set():
                self.commit()
                if self.runs % 5 == 0:
                    self.compact()
        except Exception as error:
            self.error = error

    def commit(self):
        pipeline = self.lake.parent / "reads.yaml"
        pipeline.write_text(PIPELINE.format(name="reads"))
        at = f"2026-03-08T{self.runs % 24:02}:{self.runs // 24 % 60:02}:00+08:00"
        # All runs find the same: what one adds is known before it is visible.
        self.states.add(self.rows + 20)
        report = self.redlake("run", pipeline, "--snapshot-at", at)
        assert report["rows"][TABLE] == 20, report["rows"]
        self.rows += 20
        self.runs += 1

    def compact(self):
        self.redlake("compact", "--before", "2026-03-09")
        self.compactions += 1

    def redlake(self, *arguments):
        command = [self.binary, *map(str, arguments), "--lake", self.lake, "--format", "json", "-q"]
        return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def main(binary, lake, reads):
    lake = Path(lake)
    writer = Writer(binary, lake)
    writer.commit()
    writer.start()
    connection = duckdb.connect()
    glob = f"{lake}/tables/{TABLE}/dt=*/*.parquet"
    wrong, exceptions, seen, done = [], 0, set(), 0
    started = time.monotonic()
    while (done < reads or writer.compactions < COMPACTIONS) and writer.is_alive():
        done += 1
        least = writer.rows
        try:
            (count,) = connection.execute(f"SELECT count(run_id) FROM read_parquet('{glob}')").fetchone()
        except duckdb.IOException:
            exceptions += 1
            continue
        seen.add(count)
        if count not in writer.states or count < least:
            wrong.append(count)
    seconds = time.monotonic() - started
    writer.stop.set()
    writer.join()
    if writer.error:
        raise writer.error
    print(
        f"{done} reads in {seconds:.0f} s while {writer.runs} runs and {writer.compactions} compactions"
        f" were committed: {len(seen)} counts, {len(wrong)} of them wrong; {exceptions} reads met an"
        " exchange of folders and failed"
    )
    sys.exit(1 if wrong else 0)


main(sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 2000)
