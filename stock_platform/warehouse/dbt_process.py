"""`stock-platform-dbt`: the dbt command line that dies with the process that started it.

A killed run must not leave a dbt behind that goes on swapping tables while the next run builds:
two dbt runs on one target are unsafe.
"""

import ctypes
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Entry point of the console script."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    from dbt.cli.main import cli

    cli()
