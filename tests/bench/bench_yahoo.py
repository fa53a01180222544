"""What loading from Yahoo costs: time, memory, requests; a whole history, a day, an instrument.

The provider runs in a process of its own and has its answers ready; the reference for time is bare
polars writing the same objects from memory in the same run. `python -m tests.bench.bench_yahoo
HOME URL SESSIONS` makes one load and prints its peak memory.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from stock_platform.lake import Lake, ingest
from stock_platform.lake.ingest import LoadReport
from stock_platform.settings import PROJECT_ROOT, Settings
from stock_platform.sources.responses import Journal
from stock_platform.sources.yahoo import Record, YahooSource
from stock_platform.sources.yahoo_client import YahooClient
from stock_platform.sources.yahoo_held import LakeView
from stock_platform.universe import Instrument
from tests.bench.yahoo_provider import Provider, days, evening, instruments

SYMBOLS = 100
UNTIL = date(2026, 1, 30)
LONG, SHORT, YEAR = 5000, 1250, 250
OLDEST = 6040
"""Sessions in 24 years."""
HISTORIES, DAYS = 3, 9
"""Repetitions."""
REFETCH = 10
Result = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Taken:
    """Seconds of one load, less those of the provider."""

    seconds: float
    report: LoadReport


class Bench:
    """One lake and the provider that it is filled from."""

    def __init__(self, home: Path, url: str, listed: list[Instrument]) -> None:
        self.settings = Settings(
            home=home,
            yahoo_url=url,
            yahoo_requests_per_minute=1_000_000,
            _env_file=None,  # type: ignore[call-arg]
        )
        self.lake = Lake.open(self.settings)
        self.listed = listed

    def load(self, first: date, last: date) -> LoadReport:
        """Load on the evening of `last`."""
        journal = Journal(self.settings.home / "responses" / "yahoo")
        source = YahooSource(
            self.listed,
            lambda kept: YahooClient(self.settings, journal=journal if kept else None),
            known=LakeView("yahoo", lambda: self.lake),
            refetch=REFETCH,
            record=Record(journal, lambda: self.lake, "universe"),
        )
        return ingest.load(
            source, self.lake, first, last, settings=self.settings, known_at=evening(last)
        )

    def timed(self, provider: Provider, first: date, last: date) -> Taken:
        served, start = provider.seconds, time.perf_counter()
        report = self.load(first, last)
        elapsed = time.perf_counter() - start
        return Taken(elapsed - (provider.seconds - served), report)

    def bare(self, root: Path) -> float:
        """Seconds of polars alone writing every object of the lake from memory."""
        frames = {
            name: self.lake.read(name)
            for name in ("equity_prices", "corporate_actions", "coverage")
        }
        start = time.perf_counter()
        for name, frame in frames.items():
            for (day,), rows in frame.partition_by("session", as_dict=True).items():
                folder = root / "raw/yahoo" / name / f"{day:%Y/%m/%d}"
                folder.mkdir(parents=True)
                rows.write_parquet(folder / "data.parquet")
        return time.perf_counter() - start


def history(work: Path, provider: Provider) -> Result:
    """100 symbols x 5,000 sessions into the catalogued lake, against bare polars."""
    sessions = days(LONG, UNTIL)
    ours, reference, requests, objects = [], [], 0, 0
    for n in range(HISTORIES):
        bench = Bench(work / f"history{n}", provider.url, instruments(SYMBOLS, sessions[0]))
        provider.at(evening(UNTIL), sessions[0])
        before = provider.requests
        taken = bench.timed(provider, sessions[0], UNTIL)
        requests, objects = provider.requests - before, taken.report.objects_written
        assert taken.report.rows_written > SYMBOLS * LONG, taken.report
        ours.append(taken.seconds)
        reference.append(bench.bare(work / f"bare{n}"))
        if n:
            shutil.rmtree(bench.settings.home)
    return {
        "yahoo_ingest_history": {
            "ours": round(min(ours), 2),
            "reference": round(min(reference), 2),
            "limit": 2.0,
            "unit": f"s less the server's for {SYMBOLS} symbols x {LONG} sessions in {objects} "
            "objects, reference bare polars",
        },
        "yahoo_ingest_requests": {
            "ours": requests,
            "reference": SYMBOLS + 2,
            "limit": 1.0,
            "unit": f"requests for {SYMBOLS} symbols, cookie and crumb included",
        },
    }


def increment(work: Path, provider: Provider, later: list[date]) -> Result:
    """One more day for 100 symbols after 20 years, against the same after one year."""
    kept = {LONG: work / "history0", YEAR: work / "year"}
    first = {count: days(count, UNTIL)[0] for count in kept}
    lakes = {
        count: Bench(home, provider.url, instruments(SYMBOLS, first[count]))
        for count, home in kept.items()
    }
    provider.at(evening(UNTIL), first[YEAR])
    lakes[YEAR].load(first[YEAR], UNTIL)
    times: dict[int, list[float]] = {count: [] for count in lakes}
    requests, objects = 0, 0
    for day in later:
        # The window that is asked for again, and as many stored sessions before.
        provider.at(evening(day), days(2 * REFETCH, day)[0])
        for count, bench in lakes.items():
            before = provider.requests
            taken = bench.timed(provider, day, day)
            requests, objects = provider.requests - before, taken.report.objects_written
            times[count].append(taken.seconds)
    mine, reference = (statistics.median(times[count]) for count in (LONG, YEAR))
    return {
        "yahoo_increment_day": {
            "ours": round(mine, 3),
            "reference": round(reference, 3),
            "limit": 1.2,
            "unit": f"s less the server's for one day of {SYMBOLS} symbols after {LONG} sessions "
            f"({requests} requests, {objects} objects), reference after {YEAR}",
        }
    }


def addition(work: Path, provider: Provider, day: date) -> Result:
    """One more instrument with 24 years of history, for which every session gets an object."""
    oldest = days(OLDEST, day)[0]
    listed = instruments(SYMBOLS, days(LONG, UNTIL)[0])
    listed += instruments(SYMBOLS + 1, oldest)[SYMBOLS:]
    bench = Bench(work / "history0", provider.url, listed)
    provider.at(evening(day), oldest, days(2 * REFETCH, day)[0])
    before = provider.requests
    taken = bench.timed(provider, oldest, day)
    only = bench.lake.read("equity_prices", source="yahoo")
    assert (only["instrument_id"] == listed[-1].instrument_id).sum() >= OLDEST
    return {
        "yahoo_ingest_one_more_instrument": {
            "ours": round(taken.seconds, 2),
            "reference": round(bench.bare(work / "bare-all"), 2),
            "limit": 4.0,
            "unit": f"s less the server's for one more instrument of {OLDEST} sessions beside "
            f"{SYMBOLS} ({provider.requests - before} requests, {taken.report.objects_written} "
            "objects), reference bare polars writing the whole lake",
        }
    }


def memory(work: Path, provider: Provider) -> Result:
    """Peak memory of a load of 5,000 sessions, against one of 1,250."""
    peaks = {}
    for count in (SHORT, LONG):
        provider.at(evening(UNTIL), days(count, UNTIL)[0])
        home = work / f"memory{count}"
        command = [sys.executable, "-m", "tests.bench.bench_yahoo", home, provider.url, str(count)]
        done = subprocess.run(command, cwd=PROJECT_ROOT, check=True, capture_output=True, text=True)
        peaks[count] = int(done.stdout) / 1024
        shutil.rmtree(home)
    return {
        "yahoo_ingest_memory": {
            "ours": round(peaks[LONG]),
            "reference": round(peaks[SHORT]),
            "limit": 1.3,
            "unit": f"MB at most for {SYMBOLS} symbols x {LONG} sessions, reference {SHORT}",
        }
    }


def run() -> Result:
    """The figures of `make bench`; about two minutes on two idle cores."""
    work = Path(tempfile.mkdtemp(prefix="bench-yahoo-"))
    last = days(1, date(2026, 3, 31))[0]
    later = [day for day in days(60, last) if day > UNTIL][: DAYS + 1]
    try:
        # The histories of the addition end with the last day of the increments.
        with Provider(SYMBOLS + 1, OLDEST + 60, last) as provider:
            first = days(5, UNTIL)[0]
            provider.at(evening(UNTIL), first)
            Bench(work / "warm-up", provider.url, instruments(3, first)).load(first, UNTIL)
            return {
                **memory(work, provider),
                **history(work, provider),
                **increment(work, provider, later[:-1]),
                **addition(work, provider, later[-1]),
            }
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _peak() -> int:
    """This process's peak memory in kB; `ru_maxrss` may be that of the process that started it."""
    (line,) = (
        line for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line
    )
    return int(line.split()[1])


if __name__ == "__main__":
    home, url, count = sys.argv[1:]
    sessions = days(int(count), UNTIL)
    Bench(Path(home), url, instruments(SYMBOLS, sessions[0])).load(sessions[0], UNTIL)
    print(_peak())
