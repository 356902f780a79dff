"""The program of the process in which connectorx reads for ``snapshot``; it is started by path, never imported.

A job comes as JSON on standard input: the connection ``url`` and ``queries``, each a list of alternatives of
which the first that can be read counts. The answer on standard output is one Arrow stream per query, in order.
"""

from __future__ import annotations

import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor

# pyarrow does without numpy, whose loading is half of what this program takes to start.
sys.modules["numpy"] = None  # type: ignore[assignment]

import connectorx  # noqa: E402
import pyarrow as pa  # noqa: E402

if __name__ == "__main__":
    job = json.load(sys.stdin)

    def read(alternatives: list[str]) -> pa.Table:
        """Read one query; if it cannot be read, end the program without waiting for the other threads."""
        for query in alternatives:
            try:
                return connectorx.read_sql(job["url"], query, return_type="arrow")
            except RuntimeError as error:
                if "locked" in str(error):
                    break
        os._exit(1)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for table in pool.map(read, job["queries"]):
            with pa.ipc.new_stream(sys.stdout.buffer, table.schema) as stream:
                stream.write_table(table)
