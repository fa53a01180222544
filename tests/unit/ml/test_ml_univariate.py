"""The past of a row, and the candidate that reads it: nothing after the row, and only where the
extra is installed."""

from datetime import date, timedelta
from importlib.util import find_spec

import numpy as np
import polars as pl
import pytest

from stock_platform.errors import PlatformError
from stock_platform.ml import candidates
from stock_platform.ml.candidates import all_candidates, by_name
from stock_platform.ml.candidates.base import Fitted, NotEnoughHistoryError
from stock_platform.ml.features import Panel
from stock_platform.ml.history import WINDOW, History, Slots
from stock_platform.ml.issue import input_digests
from stock_platform.ml.serialise import model_digest, pack, unpack
from tests.support import panels

extra = pytest.mark.skipif(
    find_spec("statsforecast") is None,
    reason='needs an extra: .ci/install .venv ".[dev,univariate]"',
)
CUT = date(2010, 6, 18)
"""A Friday."""


def both() -> tuple[Panel, Panel]:
    """The origins of the week of CUT: with what came after in the read, and without."""
    bars = panels.sample_bars().with_columns(total_return_factor="split_factor")
    features = panels.sample_features()
    cuts = (date(2014, 1, 1), CUT)
    read = [
        panels.panel_of(panels.known_by(features, last)).with_bars(panels.known_by(bars, last))
        for last in cuts
    ]
    long, short = (panel.where(pl.col("session") == CUT) for panel in read)
    return long.rows(long.usable), short.rows(short.usable)


def pasts(rows: Panel) -> list[list[float]]:
    return [
        rows.history.until(name, CUT, WINDOW).tolist()  # type: ignore[union-attr]
        for name in rows.frame["instrument_id"]
    ]


def test_a_cut_keeps_the_past_and_the_past_knows_nothing_after_it():
    long, short = both()
    assert len(long) == 4
    assert pasts(long) == pasts(short)
    assert {len(past) for past in pasts(long)} == {WINDOW}
    assert input_digests(long, with_history=True) == input_digests(short, with_history=True)
    assert input_digests(long, with_history=True) != input_digests(long)


def test_that_guard_notices_a_past_that_reaches_a_day_further(monkeypatch):
    honest = Slots.until
    monkeypatch.setattr(Slots, "until", lambda own, place, most: honest(own, place + 1, most))
    long, short = both()
    assert pasts(long) != pasts(short)


def daily(days: list[date], variance: list[float | None]) -> History:
    frame = pl.DataFrame({"instrument_id": "X", "session": days, "variance": variance})
    return History(frame.lazy())


def tenths(series: History, day: date, most: int) -> list[int]:
    return np.rint(10 * series.until("X", day, most)).astype(int).tolist()


def test_days_of_the_week_keep_their_slots():
    monday = date(2024, 1, 8)
    week = [monday + timedelta(days=n) for n in range(5)]
    later = [day + timedelta(days=7) for day in week]
    variance = [np.exp(0.2 * n) for n in range(5)]  # log volatility 0, 0.1, ... 0.4
    # The second Tuesday is a holiday: it has the first one's value.
    series = daily([*week, later[0], *later[2:]], [*variance, 1.0, *variance[2:]])
    assert tenths(series, later[4], 9) == [1, 2, 3, 4, 0, 1, 2, 3, 4]
    assert tenths(series, later[1], 3) == [3, 4, 0]
    assert series.until("X", monday - timedelta(days=1), 3).size == 0
    assert tenths(series, later[4] + timedelta(days=3), 2) == [3, 4]
    assert series.until("Y", later[4], 3).size == 0
    # Tuesday to Saturday, as the Bank of Russia sets its rates: a Saturday is nobody else's.
    shifted = [day + timedelta(days=1) for day in week]
    series = daily(shifted, variance)
    assert tenths(series, shifted[4], 5) == [0, 1, 2, 3, 4]
    # Sunday to Thursday, as in Tel Aviv.
    early = [monday + timedelta(days=n) for n in range(-1, 4)]
    assert tenths(daily(early, variance), early[4], 5) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("off", [(), (4,), (4, 5), (5,), (1, 2)])
def test_whatever_days_are_traded_no_past_knows_a_later_one(off: tuple[int, ...]):
    first = date(2024, 1, 1)
    days = [first + timedelta(days=n) for n in range(40) if (first.weekday() + n) % 7 not in off]
    variance = [np.exp(0.2 * n) for n in range(len(days))]
    whole = daily(days, variance)
    for count, day in enumerate(days, 1):
        past = tenths(whole, day, 100)
        assert past == tenths(daily(days[:count], variance[:count]), day, 100)
        assert max(past) < count


def test_a_day_without_a_move_is_not_minus_infinity():
    days = [date(2024, 1, 8) + timedelta(days=n) for n in range(5)]
    series = daily(days, [None, 1e-4, 0.0, 0.0, 1e-4]).until("X", days[4], 4)
    assert np.isfinite(series).all()
    assert series[1] == pytest.approx(np.log(0.05 * 0.01 / np.sqrt(2)), rel=1e-6)


def test_ranges_are_read_where_a_bar_has_them_and_a_split_is_no_move():
    days = [date(2024, 1, 8) + timedelta(days=n) for n in range(3)]
    bars = pl.DataFrame(
        {
            "instrument_id": "X",
            "session": days,
            "open": [100.0, 101.0, None],
            "high": [102.0, 106.0, None],
            "low": [99.0, 100.0, None],
            "close": [100.0, 104.0, 26.5],
            "split_factor": [1.0, 1.0, 4.0],
        }
    )
    found = np.exp(2 * History.of_bars(bars).until("X", days[2], 2))
    inside = 0.5 * np.log(1.06) ** 2 - (2 * np.log(2) - 1) * np.log(104 / 101) ** 2
    np.testing.assert_allclose(
        found, [np.log(1.01) ** 2 + inside, np.log(106 / 104) ** 2], rtol=1e-5
    )


def test_without_its_extra_the_candidate_is_absent_and_the_error_names_it(monkeypatch):
    monkeypatch.setattr(candidates, "find_spec", lambda name: None)
    assert "univariate" not in {candidate.name for candidate in all_candidates()}
    with pytest.raises(PlatformError, match=r"statsforecast.*\[univariate\]"):
        by_name("univariate")


@extra
def test_it_forecasts_a_row_from_that_rows_past_alone(monkeypatch):
    candidate = by_name("univariate").model
    long, short = both()
    np.testing.assert_array_equal(
        candidate.location_scale({}, long)[1], candidate.location_scale({}, short)[1]
    )
    honest = Slots.until
    monkeypatch.setattr(Slots, "until", lambda own, place, most: honest(own, place + 1, most))
    long, short = (candidate.location_scale({}, rows)[1] for rows in both())
    assert not np.array_equal(long, short)


@extra
def test_a_wild_monday_is_expected_on_mondays():
    """By hand: constant series are forecast as they are, so Monday's variance leads the week."""
    days = [date(2020, 1, 6) + timedelta(weeks=w, days=n) for w in range(120) for n in range(5)]
    variance = [9e-4 if day.weekday() == 0 else 1e-4 for day in days]
    rows = panels.sample_panel().where(pl.col("session") == date(2010, 6, 18))
    frame = rows.frame.head(1).with_columns(instrument_id=pl.lit("X"), session=pl.lit(days[-1]))
    _, scale = by_name("univariate").model.location_scale(
        {}, Panel(frame, history=daily(days, variance))
    )
    np.testing.assert_allclose(scale[0] ** 2, 1e-4 * np.array([9, 10, 11, 12, 13]), rtol=1e-4)


@extra
def test_without_the_past_there_is_no_forecast():
    univariate, rows = by_name("univariate"), both()[0]
    with pytest.raises(NotEnoughHistoryError, match="without the past"):
        univariate.fit(Panel(rows.frame), CUT)
    arrays = univariate.fit(panels.sample_panel(), CUT)
    with pytest.raises(PlatformError, match="came without"):
        univariate.predict(arrays, Panel(rows.frame))


@extra
def test_with_a_short_past_it_is_the_ewma():
    rows = panels.panel_of(both()[0].frame)  # their own sessions are all the past they have
    _, scale = by_name("univariate").model.location_scale({}, rows)
    ewma = rows.feature("feature_ewma_vol")
    np.testing.assert_allclose(scale, ewma[:, None] * np.sqrt(np.arange(1, 6)))


@extra
def test_it_is_packed_and_beats_the_walk():
    from stock_platform.ml.metrics import pinball

    panel, univariate = panels.sample_panel(), by_name("univariate")
    fitted = Fitted(univariate, univariate.fit(panel, CUT))
    rows = panel.rows(panel.usable & panel.origins & (panel.sessions > np.datetime64(CUT)))
    again = unpack(pack(fitted), model_digest(fitted))
    np.testing.assert_array_equal(again.predict(rows).quantiles, fitted.predict(rows).quantiles)
    actual = rows.forward.returns[:, 4]
    matured = np.isfinite(actual)
    walk = by_name("random_walk").predict({}, rows).quantiles[matured, 4]
    own = fitted.predict(rows).quantiles[matured, 4]
    assert pinball(actual[matured], own).mean() < pinball(actual[matured], walk).mean()
