"""Labels, maturity and as-of reading of the panel."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from stock_platform.errors import PlatformError
from stock_platform.ml.features import FEATURES, Panel, design_matrix, origin_rows
from stock_platform.ml.panel_reader import PanelReader
from stock_platform.ml.weeks import SESSION_COLUMNS, Weeks
from tests.support import panels


def test_label_is_the_split_adjusted_return_to_the_fifth_session():
    panel = panels.sample_panel()
    row = panel.frame.with_row_index().filter(
        (pl.col("symbol") == "AAPL") & (pl.col("session") == date(2005, 2, 25))
    )
    forward = panel.forward.returns[row["index"][0], 4]
    bars = panels.sample_bars().filter(pl.col("symbol") == "AAPL")
    before = bars.filter(pl.col("session") == date(2005, 2, 25))["close"][0]
    after = bars.filter(pl.col("session") == date(2005, 3, 4))["close"][0]
    assert after < 0.6 * before  # the traded price halved at the split of 2005-02-28
    assert forward == pytest.approx(np.log(after * 2 / before))


def test_a_missing_bar_does_not_shift_a_target():
    frame = panels.sample_features()
    gap = date(2010, 6, 16)
    whole = panels.panel_of(frame)
    holed = panels.panel_of(frame.filter(pl.col("session") != gap))
    for session, horizon_hit in ((date(2010, 6, 9), 5), (date(2010, 6, 11), 3)):
        for panel in (whole, holed):
            rows = np.flatnonzero(panel.sessions == np.datetime64(session))
            labels = panel.labels(date(2013, 3, 1))[rows]
            missing = np.isnan(labels[:, horizon_hit - 1])
            assert missing.all() == (panel is holed)
        same = [
            p.labels(date(2013, 3, 1))[p.sessions == np.datetime64(session)] for p in (whole, holed)
        ]
        keep = [h for h in range(5) if h != horizon_hit - 1]
        np.testing.assert_array_equal(same[0][:, keep], same[1][:, keep])


def test_labels_mature_with_their_target():
    panel = panels.sample_panel()
    friday = np.datetime64("2010-06-11")
    rows = panel.sessions == friday
    assert np.isnan(panel.labels(date(2010, 6, 17))[rows, 4]).all()
    assert np.isfinite(panel.labels(date(2010, 6, 18))[rows, 4]).all()
    assert np.isfinite(panel.labels(date(2010, 6, 14))[rows, 0]).all()


def test_origin_is_the_calendars_last_session_of_the_week():
    panel = panels.sample_panel()
    good_friday = origin_rows(panel, [date(2012, 4, 2)])
    assert set(good_friday.frame["session"]) == {date(2012, 4, 5)}
    without_friday = panels.panel_of(
        panels.sample_features().filter(pl.col("session") != date(2012, 4, 13))
    )
    assert len(origin_rows(without_friday, [date(2012, 4, 9)])) == 0


def test_regressors_are_finite_on_every_usable_row_even_without_ranges_and_volume():
    frame = panels.sample_features().with_columns(
        pl.lit(None, pl.Float64).alias(name)
        for name in FEATURES
        if "gk_vol" in name or "parkinson" in name or "volume" in name
    )
    for panel in (panels.sample_panel(), panels.panel_of(frame)):
        assert np.isfinite(design_matrix(panel.rows(panel.usable))).all()


def test_missing_column_is_named():
    with pytest.raises(PlatformError, match="feature_vol_22"):
        panels.panel_of(panels.sample_features().drop("feature_vol_22"))


def known(frame: pl.DataFrame, moment: datetime) -> Panel:
    """A bitemporal read: per key the last version available by `moment`."""
    versions = frame.filter(pl.col("available_at") <= moment).sort("available_at")
    return panels.panel_of(versions.unique(["instrument_id", "session"], keep="last"))


def test_weeks_without_restatement_share_one_read_and_equal_a_read_of_their_own():
    frame = panels.sample_features()
    reader = PanelReader(lambda at: known(frame, at), panels.weeks())
    mondays = [date(2012, 11, 5) + timedelta(weeks=w) for w in range(8)]
    reader.prepare(mondays[-1])
    for monday in mondays:
        moment = reader.decision_time(monday)
        assert moment is not None
        assert reader.at(moment).panel.frame.equals(known(frame, moment).frame)
    assert len(reader._reads) == 1


def test_a_restated_bar_is_seen_only_from_its_time_on():
    frame = panels.sample_features()
    late = datetime(2012, 12, 5, 12, tzinfo=UTC)
    row = (pl.col("symbol") == "IBM") & (pl.col("session") == date(2012, 11, 9))
    restated = frame.filter(row).with_columns(
        available_at=pl.lit(late).dt.cast_time_unit("us"), price_index=pl.col("price_index") * 1.01
    )
    both = pl.concat([frame, restated])
    reader = PanelReader(lambda at: known(both, at), panels.weeks())
    reader.prepare(date(2012, 12, 17))
    for monday in (date(2012, 11, 19), date(2012, 11, 26), date(2012, 12, 3), date(2012, 12, 10)):
        moment = reader.decision_time(monday)
        assert moment is not None
        panel = reader.at(moment).panel
        assert panel.frame.equals(known(both, moment).frame)
        price = panel.frame.filter(row)["price_index"][0]
        assert (price == restated["price_index"][0]) == (moment >= late)
    assert len(reader._reads) > 1


def test_decision_time_is_when_the_last_origin_bar_came_and_before_the_next_open():
    frame = panels.sample_features()
    reader = PanelReader(lambda at: known(frame, at), panels.weeks())
    moment = reader.decision_time(date(2012, 4, 2))
    origin = frame.filter(pl.col("session") == date(2012, 4, 5))
    assert moment == origin["available_at"].max()
    deadline = reader.deadline(date(2012, 4, 2))
    assert deadline is not None
    assert deadline.date() == date(2012, 4, 9)
    tardy = frame.with_columns(
        available_at=pl.when((pl.col("session") == date(2012, 4, 5)) & (pl.col("symbol") == "IBM"))
        .then(pl.lit(deadline).dt.cast_time_unit("us"))
        .otherwise("available_at")
    )
    reader = PanelReader(lambda at: known(tardy, at), panels.weeks())
    assert reader.decision_time(date(2012, 4, 2)) == moment


def test_a_week_without_sessions_has_no_decision():
    empty = panels.weeks().sessions.filter(pl.col("session").dt.truncate("1w") != date(2001, 9, 10))
    from stock_platform.ml.weeks import Weeks

    weeks = Weeks(empty)
    reader = PanelReader(lambda at: known(panels.sample_features(), at), weeks)
    assert reader.deadline(date(2001, 9, 10)) is None
    assert reader.decision_time(date(2001, 9, 10)) is None


def test_a_calendar_that_ends_too_early_is_named():
    weeks = panels.weeks()
    with pytest.raises(PlatformError, match="XNYS has no session 5 after 2014-12-26"):
        weeks.target("XNYS", date(2014, 12, 26), 5)


def test_a_week_is_pending_between_its_last_close_and_the_next_open() -> None:
    """What is forecast then is live; before, its bars are not there, after, it is a backtest."""
    sessions = [(date(2024, 3, 7), 1), (date(2024, 3, 8), 2), (date(2024, 3, 11), 3)]
    rows = [
        ("XNYS", day, number, datetime(day.year, 3, day.day, 14, 30, tzinfo=UTC),
         datetime(day.year, 3, day.day, 21, tzinfo=UTC))
        for day, number in sessions
    ]  # fmt: skip
    weeks = Weeks(pl.DataFrame(rows, schema=SESSION_COLUMNS, orient="row"))
    reader = PanelReader(lambda at: pytest.fail("nothing needs to be read"), weeks)
    monday = date(2024, 3, 4)
    for moment, pending in (
        (datetime(2024, 3, 8, 20, 59, tzinfo=UTC), False),
        (datetime(2024, 3, 8, 21, tzinfo=UTC), True),
        (datetime(2024, 3, 11, 14, 29, tzinfo=UTC), True),
        (datetime(2024, 3, 11, 14, 30, tzinfo=UTC), False),
    ):
        assert reader.is_pending(monday, moment) == pending, moment
    assert not reader.is_pending(date(2024, 2, 26), datetime(2024, 3, 2, tzinfo=UTC))
