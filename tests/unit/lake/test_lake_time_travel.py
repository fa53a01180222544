"""Time travel of every dataset through the catalog, offline: the command and Dagster's resource."""

from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from stock_platform.defs.resources import PlatformResource, resources
from stock_platform.lake import query
from stock_platform.lake.schema import DATASETS
from tests.support.lake import MONDAY, T0, Workshop, hour

FIRST: dict[pl.DataType, Any] = {pl.String(): "a", pl.Float64(): 1.0, pl.Date(): MONDAY}


def told(name: str, session: date, **figures: Any) -> dict[str, Any]:
    """A row of any dataset, fetched late, available at its session's evening."""
    row = {column: FIRST.get(kind) for column, kind in DATASETS[name].columns.items()}
    evening = T0 - timedelta(days=30)
    given = {"session": session, "available_at": evening, "availability": "assumed"}
    unsaid = ("source", "known_at")
    return {
        column: value
        for column, value in (row | given | {"finality": "final"} | figures).items()
        if column not in unsaid
    }


@pytest.fixture(scope="module")
def revised(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """Two sessions of every dataset, loaded at T0; the first of them told anew an hour later."""
    workshop = Workshop(tmp_path_factory.mktemp("lake") / "home")
    tables = {name: [told(name, MONDAY), told(name, MONDAY + timedelta(1))] for name in DATASETS}
    workshop.load(at=T0, **tables)
    anew = {}
    for name, dataset in DATASETS.items():
        changed = dict.fromkeys(dataset.measured, 2.0) or {"value": "b"}
        later = {"available_at": hour(1), "availability": "observed"}
        anew[name] = [told(name, MONDAY, **changed, **later)]
    workshop.load(at=hour(1), **anew)
    return workshop


MOMENTS = [
    # moment, clock, rows of a dataset that are seen, those of them that are the revision
    (None, "known_at", 3, 1),
    (T0 - timedelta(minutes=1), "known_at", 0, 0),
    (T0, "known_at", 2, 0),
    (hour(1), "known_at", 2, 1),
    (T0 - timedelta(days=31), "available_at", 0, 0),
    (T0 - timedelta(days=1), "available_at", 2, 0),
    (hour(2), "available_at", 2, 1),
]


SEEN = " UNION ALL ".join(
    f"SELECT '{name}' AS dataset, count(*) AS rows,"
    f" count(*) FILTER ({(*dataset.measured, 'value')[0]}::VARCHAR IN ('2.0', 'b')) AS revised"
    f" FROM {name}"
    for name, dataset in DATASETS.items()
)


@pytest.mark.parametrize(("moment", "clock", "rows", "anew"), MOMENTS)
def test_every_dataset_as_of_a_moment(
    revised: Workshop, moment: datetime | None, clock: Any, rows: int, anew: int
) -> None:
    _, found = query.query(revised.lake, revised.settings, SEEN, at=moment, clock=clock)
    assert sorted(found) == sorted((name, rows, anew) for name in DATASETS)


def test_extensions_come_with_the_environment(revised: Workshop, tmp_path: Path) -> None:
    import duckdb

    config = {**query.OFFLINE, "extension_directory": str(tmp_path)}  # where a download would go
    with duckdb.connect(config=config) as connection:
        query.register(connection, revised.lake, revised.settings)
        assert connection.sql(SEEN).fetchall()
    assert not any(query.OFFLINE.values())
    assert list(tmp_path.iterdir()) == []


def test_the_resource_sees_every_dataset(revised: Workshop, monkeypatch) -> None:
    monkeypatch.setattr(PlatformResource, "settings", revised.settings)
    mine = {name: found for name, found in resources().items() if name in ("platform", "duckdb")}

    def counts(**at: Any) -> dict[str, int]:
        with built.duckdb.get_connection(**at) as connection:
            return {
                name: connection.execute(f"SELECT count(*) FROM {name}").fetchall()[0][0]
                for name in DATASETS
            }

    with dg.build_resources(mine) as built:
        assert counts() == dict.fromkeys(DATASETS, 3)
        assert counts(at=T0) == dict.fromkeys(DATASETS, 2)
        assert counts(at=T0 - timedelta(days=1)) == dict.fromkeys(DATASETS, 0)
        early = {"at": T0 - timedelta(days=1), "clock": "available_at"}
        assert counts(**early) == dict.fromkeys(DATASETS, 2)
