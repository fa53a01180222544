"""The simulated market behaves like one, is the same every time, and keeps its own log."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from stock_platform import calendars
from stock_platform.lake import schema
from stock_platform.settings import Settings
from stock_platform.sources import get_source
from stock_platform.sources.base import SourceError
from stock_platform.sources.simulated import SimulatedSource

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KEY = ["instrument_id", "session"]


def source(count: int = 40, years: int = 8, start: date = date(2010, 1, 1), seed: int = 3):
    return SimulatedSource(count=count, start=start, years=years, seed=seed)


@pytest.fixture(scope="module")
def market() -> SimulatedSource:
    return source()


@pytest.fixture(scope="module")
def tables(market) -> dict[str, pl.DataFrame]:
    return market.extract(*market.span(), NOW).tables


def test_the_default_market(tmp_path) -> None:
    default = get_source(Settings(home=tmp_path, source="simulated"))
    assert default.span() == (date(2015, 1, 2), date(2020, 12, 31))
    assert len(default.instruments()) == 8
    tables = default.extract(*default.span(), NOW).tables
    assert {"split", "dividend"} == set(tables["corporate_actions"]["action"])
    assert {"provider_missing", "delisted"} == set(tables["coverage"]["reason"])


def test_every_table_has_exactly_the_columns_of_the_lake(tables) -> None:
    for name, table in tables.items():
        assert table.schema == schema.dataset(name).polars_schema
        assert sum(table.null_count().row(0)) == 0
        assert not table.select(schema.dataset(name).key).is_duplicated().any()


def test_the_same_parameters_give_the_same_rows(market, tables) -> None:
    again = source()
    assert again.fingerprint() == market.fingerprint()
    for name, table in again.extract(*again.span(), NOW).tables.items():
        assert table.equals(tables[name])
    other = source(seed=4)
    assert other.fingerprint() != market.fingerprint()
    assert (
        not other.extract(*other.span(), NOW)
        .tables["equity_prices"]
        .equals(tables["equity_prices"])
    )


@pytest.mark.parametrize("size", [{"count": 7}, {"count": 45}, {"years": 3}, {"years": 12}])
def test_a_row_does_not_depend_on_the_size_of_the_market(tables, size: dict) -> None:
    """More or fewer instruments, a longer or shorter span: what both have is the same."""
    other = source(**size)
    rows = other.extract(*other.span(), NOW).tables
    ids = {i.instrument_id for i in other.instruments()}
    last = other.span()[1]
    end = tables["equity_prices"]["session"].max()
    for name, table in tables.items():
        ours = table.filter(pl.col("instrument_id").is_in(ids), pl.col("session") <= last)
        known = set(tables["equity_prices"]["instrument_id"])
        theirs = rows[name].filter(pl.col("instrument_id").is_in(known), pl.col("session") <= end)
        assert theirs.equals(ours), name


def test_any_range_is_a_slice_of_the_whole(market, tables) -> None:
    fresh = source()
    for first, last in [
        (date(2014, 3, 5), date(2014, 3, 5)),
        (date(2011, 12, 20), date(2013, 1, 10)),
        (date(2010, 1, 1), date(2010, 1, 10)),
        (date(1995, 1, 1), date(2030, 1, 1)),
        (date(2014, 3, 8), date(2014, 3, 9)),
    ]:
        for name, table in fresh.extract(first, last, NOW).tables.items():
            assert table.equals(tables[name].filter(pl.col("session").is_between(first, last)))


def test_bars_are_whole_and_lie_on_sessions(tables) -> None:
    bars = tables["equity_prices"]
    assert set(bars["session"]) <= set(
        calendars.sessions("XNYS", date(2010, 1, 1), date(2018, 1, 1))
    )
    prices = ("open", "high", "low", "close")
    assert bars.select(pl.all_horizontal(pl.col(p) > 0 for p in prices).all()).item()
    inside = [pl.col(p).is_between(pl.col("low"), pl.col("high")) for p in prices]
    assert bars.select(pl.all_horizontal(inside).all()).item()
    assert bars["volume"].min() > 0


def adjusted_returns(tables: dict[str, pl.DataFrame]) -> pl.DataFrame:
    splits = tables["corporate_actions"].filter(action="split").select(*KEY, ratio="value")
    return (
        tables["equity_prices"]
        .join(splits, on=KEY, how="left")
        .sort(KEY)
        .with_columns(
            (pl.col("close") * pl.col("ratio").fill_null(1) / pl.col("close").shift())
            .log()
            .over("instrument_id")
            .alias("r"),
            (pl.col("open") * pl.col("ratio").fill_null(1) / pl.col("close").shift())
            .log()
            .over("instrument_id")
            .alias("gap"),
        )
        .drop_nulls("r")
    )


def test_traded_prices_jump_with_their_splits_and_adjusted_ones_do_not(tables) -> None:
    returns = adjusted_returns(tables)
    splits = returns.drop_nulls("ratio")
    assert splits.height >= 10
    assert {2.0, 0.1} <= set(splits["ratio"])
    # the gap over a split is a usual night's, its traded price jumps by the ratio
    assert splits["gap"].abs().max() < 0.1
    usual = returns.filter(pl.col("ratio").is_null())["r"].std()
    assert splits["r"].abs().mean() < 2 * usual


def test_volatility_clusters_and_tails_are_fat(tables) -> None:
    wide = adjusted_returns(tables).pivot("instrument_id", index="session", values="r")
    names = [c for c in wide.columns if c != "session"]
    autocorrelation, kurtosis = [], []
    for name in names:
        r = wide[name].drop_nulls().to_numpy()
        if len(r) > 1000:
            size = np.abs(r)
            autocorrelation.append(
                np.mean([np.corrcoef(size[:-k], size[k:])[0, 1] for k in range(1, 11)])
            )
            kurtosis.append(((r - r.mean()) ** 4).mean() / r.var() ** 2)
    assert np.mean(autocorrelation) > 0.05  # independent draws: 0.00
    assert np.mean(kurtosis) > 4  # Gaussian: 3
    together = wide.drop_nulls().select(names).to_numpy()
    assert np.corrcoef(together.T)[np.triu_indices(len(names), 1)].mean() > 0.15


def test_every_expected_session_has_a_bar_or_a_reason(market, tables) -> None:
    """G5 on the source itself."""
    expected = {
        (i.instrument_id, day)
        for i in market.instruments()
        for day in calendars.sessions("XNYS", i.first_session, i.last_session or market.span()[1])
    }
    barred = set(tables["equity_prices"].select(KEY).iter_rows())
    coverage = tables["coverage"]
    missing = set(coverage.filter(reason="provider_missing").select(KEY).iter_rows())
    assert barred | missing == expected
    assert not barred & missing
    gone = {i.instrument_id: i.last_session for i in market.instruments() if i.last_session}
    assert len(gone) >= 2
    notices = coverage.filter(reason="delisted")
    assert dict(notices.select("instrument_id", "value").iter_rows()) == {
        k: str(v) for k, v in gone.items()
    }


# --- the log -------------------------------------------------------------------------------------


def test_the_log_shows_late_bars_and_revisions_only_after_their_time(market, tables) -> None:
    """Fetched day by day, the rows change at most once after they are due, and end as today's."""
    first, last = date(2015, 3, 2), date(2015, 9, 30)
    final = tables["equity_prices"].filter(pl.col("session").is_between(first, last))
    seen: dict[tuple, tuple] = {}
    revised, late = set(), set()
    for day in calendars.sessions("XNYS", first, date(2015, 10, 30)):
        at = calendars.session_close("XNYS", day) + timedelta(hours=4, minutes=1)
        shown = market.extract(first, last, at).tables["equity_prices"]
        assert shown["session"].max() == min(day, last)
        assert set(shown["finality"]) == {"final"}
        for row in shown.select(*KEY, "open", "high", "low", "close", "volume").iter_rows():
            if row[:2] not in seen:
                if row[1] != day:
                    late.add(row[:2])
            elif seen[row[:2]] != row:
                assert row[:2] not in revised
                revised.add(row[:2])
            seen[row[:2]] = row
    assert len(late) >= 2
    assert len(revised) >= 2
    values = final.select(*KEY, "open", "high", "low", "close", "volume").iter_rows()
    assert sorted(seen.values()) == sorted(values)
    digests = final.filter(pl.struct(KEY).is_in([dict(zip(KEY, k, strict=True)) for k in revised]))
    assert digests["payload_digest"].n_unique() == 1
    assert set(digests["payload_digest"]) != set(final["payload_digest"])


def test_the_last_bar_is_provisional_until_it_is_due(market) -> None:
    day = date(2015, 6, 10)
    close = calendars.session_close("XNYS", day)

    def at(moment: datetime) -> tuple[pl.DataFrame, pl.DataFrame]:
        tables = market.extract(day, day, moment).tables
        return tables["equity_prices"], tables["coverage"]

    nothing, no_reason = at(close - timedelta(hours=7))
    assert (nothing.height, no_reason.height) == (0, 0)
    early, reasons = at(close - timedelta(hours=3))
    whole, _ = at(close + timedelta(hours=4))
    assert set(early["finality"]) == {"provisional"}
    assert set(reasons["reason"]) == {"not_yet_final"}
    assert set(whole["finality"]) == {"final"}
    assert (early["volume"] < whole["volume"]).all()
    assert (early["available_at"] == close - timedelta(hours=3)).all()
    later, _ = at(close + timedelta(hours=1))
    assert (later["volume"] > early["volume"]).all()


def test_an_action_is_known_from_the_open_of_its_ex_date(market, tables) -> None:
    action = tables["corporate_actions"].filter(action="split").row(0, named=True)
    day = action["session"]
    opened = calendars.session_table("XNYS", day, day)["open_at"][0]
    before = market.extract(day, day, opened - timedelta(seconds=1)).tables["corporate_actions"]
    assert before.is_empty()
    after = market.extract(day, day, opened).tables["corporate_actions"]
    assert action["instrument_id"] in set(after["instrument_id"])
    assert action["available_at"] == opened


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"simulated_start": "soon"}, "SIMULATED_START='soon'"),
        ({"simulated_start": "1980-01-01"}, "1990-01-01"),
        ({"simulated_years": 60}, "yesterday"),
        ({"universe": "u.yaml"}, "STOCK_PLATFORM_UNIVERSE"),
    ],
)
def test_an_impossible_market_is_refused(tmp_path, settings: dict, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        get_source(Settings(home=tmp_path, source="simulated", **settings))
