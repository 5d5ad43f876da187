"""What the rivals have in common: how they are called, and what they say at the end."""

import argparse
import json
import os
import time


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("job", choices=["tables", "notes"])
    parser.add_argument("form")
    parser.add_argument("pages", help="a page a line, as redlake's raw files have them")
    parser.add_argument("out", help="gets a folder of Parquet files for each table")
    parser.add_argument("threads", type=int)
    return parser.parse_args()


def table_file(out: str, table: str) -> str:
    os.makedirs(f"{out}/{table}")
    return f"{out}/{table}/0.parquet"


class Clock:
    """Runs from when the engine is imported until its last file is written."""

    def __init__(self) -> None:
        self.start = time.perf_counter()

    def stop(self, version: str) -> None:
        seconds = time.perf_counter() - self.start
        print(json.dumps({"seconds": seconds, "version": version}))
