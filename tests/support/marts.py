"""Marts of the small market of `bitemporal.py`: grown load by load, kept, built as of a moment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

from tests.support import bitemporal
from tests.support.bitemporal import at
from tests.support.dbt_project import Project

THEN = "unit_then"
"""The database that marts are built into as of a moment."""
BIRTH, LAST = at(1, 1), at(2, 13)
ABOVE_STAGING = ["path:models/intermediate", "path:models/marts"]
CLOCKS = {
    **{
        f"stg_{dataset}": "available_at"
        for dataset in ("equity_prices", "corporate_actions", "metal_prices", "fx_rates")
    },
    "forecasts": "if(kind = 'backtest', as_of, issued_at)",
}
"""What the marts are made of, and when the world could know a row of it."""


def kept(moment: datetime) -> str:
    """The database with the marts as they were built at a moment."""
    return f"unit_{moment:%m%d%H}"


def grow_through(project: Project, moments: Sequence[datetime]) -> None:
    """Grow to the last of the moments, building at each and keeping the marts of the others."""
    for since, until in zip([BIRTH, *moments], moments, strict=False):
        told = [one for one in bitemporal.history() if since < one[1]["known_at"] <= until]
        ledger = [one for one in bitemporal.forecasts() if since < one["issued_at"] <= until]
        bitemporal.describe(project, until)
        bitemporal.tell(project, told, ledger)
        assert project.dbt("run")[1] == {}
        if until != moments[-1]:
            _keep(project, kept(until))


def build_as_of(project: Project, moment: datetime, clock: str) -> None:
    """Build all marts as of a moment into THEN, which leaves the present ones alone."""
    before = marts(project)
    variables = f"{{as_of: '{moment:%Y-%m-%d %H:%M:%S}', as_of_clock: {clock}, into: {THEN}}}"
    assert project.dbt("run", "--select", *ABOVE_STAGING, "--vars", variables)[1] == {}
    assert marts(project) == before


@contextmanager
def cut(project: Project, moment: datetime) -> Iterator[None]:
    """The marts built from staging and a ledger that hold only what was available by a moment."""
    past = f"<= toDateTime64('{moment:%Y-%m-%d %H:%M:%S}', 6, 'UTC')"
    view = "CREATE VIEW {0} AS SELECT * FROM whole_{0} WHERE {1} " + past
    for table, clock in CLOCKS.items():
        project.client.command(f"RENAME TABLE {table} TO whole_{table}")
        project.client.command(view.format(table, clock))
    bitemporal.describe(project, moment)
    assert project.dbt("run", "--full-refresh", "--select", *ABOVE_STAGING)[1] == {}
    yield
    for table in CLOCKS:
        project.client.command(f"DROP VIEW {table}")
        project.client.command(f"RENAME TABLE whole_{table} TO {table}")
    bitemporal.describe(project, LAST)


def differing(project: Project, database: str) -> dict[str, int]:
    """Mart -> rows that are not in both of `database` and THEN; marts without any left out."""
    counts = {
        name: project.value(
            "SELECT count() FROM (SELECT row FROM ("
            f" SELECT toString(tuple(*)) AS row, 1 AS side FROM {database}.{name}"
            f" UNION ALL SELECT toString(tuple(*)) AS row, -1 AS side FROM {THEN}.{name}"
            ") GROUP BY row HAVING sum(side) != 0)"
        )
        for name in marts(project)
    }
    return {name: rows for name, rows in counts.items() if rows}


def marts(project: Project) -> dict[str, str]:
    """What dbt built above staging, and the identity of each table."""
    found = project.rows(
        "SELECT name, toString(uuid) FROM system.tables WHERE database = 'unit'"
        " AND match(name, '^(int|dim|fct|agg)_') AND NOT endsWith(name, '_as_of')"
    )
    return dict(sorted(found))


def _keep(project: Project, database: str) -> None:
    project.client.command(f"CREATE DATABASE {database}")
    for name in marts(project):
        project.client.command(
            f"CREATE TABLE {database}.{name} ENGINE = MergeTree ORDER BY tuple()"
            f" AS SELECT * FROM unit.{name}"
        )
