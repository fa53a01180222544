"""SQL on the embedded ClickHouse, for tests that compare readers."""

import json
import subprocess
import sys

_RUN = """
import json, sys, chdb
answers = [str(chdb.query(sql, "TabSeparated")) for sql in json.load(sys.stdin)]
json.dump(answers, sys.stdout)
"""


def clickhouse(*statements: str) -> list[list[list[str]]]:
    """Rows of each statement, in an embedded ClickHouse in a process of its own.

    chDB holds one data directory per process, and other tests of this one hold theirs. Its
    `icebergLocal` reads nothing outside the working directory.
    """
    done = subprocess.run(
        [sys.executable, "-c", _RUN],
        input=json.dumps(statements),
        capture_output=True,
        text=True,
        cwd="/",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [
        [line.replace("\\'", "'").split("\t") for line in answer.splitlines()]
        for answer in json.loads(done.stdout)
    ]
