"""The weekly forecast: the champion as of its week and the random walk, into the ledger.

Any week, past or present, goes through the same function; only the clock differs. Nothing here
trains or reads a model that was decided on later data. A week forecast again after a promotion or
a rollback gets the present champion's rows beside the ones issued before; the first are scored.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

import polars as pl

from stock_platform.errors import PlatformError
from stock_platform.ml.candidates import BASELINE, by_name
from stock_platform.ml.candidates.base import Fitted
from stock_platform.ml.champion import ModelRef, champion_in, promotions
from stock_platform.ml.features import Panel, origin_rows
from stock_platform.ml.issue import Issue, forecast_rows
from stock_platform.ml.ledger import FORECASTS, write_forecasts
from stock_platform.ml.panel_reader import PanelReader
from stock_platform.ml.refusals import REFUSALS, refused
from stock_platform.ml.registry import Registry
from stock_platform.ml.serialise import canonical_json, model_digest
from stock_platform.ml.training import of_pool, pools_of
from stock_platform.ml.walk_forward import refit_week
from stock_platform.universe import Instrument

Progress = Callable[[str, int, int], None]


@dataclass
class ForecastReport:
    """What a range of weeks gave.

    Attributes:
        rows_added: rows new in the ledger.
        forecasts: every row computed (columns of the ledger), new or not.
        by_week: Monday -> rows computed; a refused or empty week has 0.
        refusals: week, instrument and why it was not forecast (REFUSALS).
        no_origin: weeks in which no calendar had a session.
        no_data: weeks with sessions but without a single bar on their last one.
    """

    rows_added: int = 0
    forecasts: pl.DataFrame = field(default_factory=pl.DataFrame)
    by_week: dict[date, int] = field(default_factory=dict)
    refusals: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=REFUSALS))
    no_origin: list[date] = field(default_factory=list)
    no_data: list[date] = field(default_factory=list)


def forecast_weeks(
    client: Any,
    registry: Registry,
    reader: PanelReader,
    source: str,
    weeks: Sequence[date],
    *,
    kind: str = "backtest",
    snapshot_ids: dict[str, int] | None = None,
    instruments: Sequence[Instrument] = (),
    progress: Progress | None = None,
) -> ForecastReport:
    """Forecast the weeks (Mondays) and add what is new to the ledger.

    `kind` is `backtest` (the source's standing one) or `live`; a live reader has a fixed moment and
    the clock `known_at`. `instruments` is the universe: what of it is listed in a week and can't be
    forecast is refused, also when it never had a bar; what has ended is not expected any more.

    Raises:
        PlatformError: a week has forecastable instruments and no champion, the registry lacks or
            altered the champion, or a live forecast comes too late or with a backtest's clock.
    """
    if kind not in ("live", "backtest") or (kind == "live") != (reader.clock == "known_at"):
        raise PlatformError(
            f"a {kind} forecast can't be read by {reader.clock}: live goes with known_at, backtest "
            "with available_at"
        )
    report = ForecastReport(by_week=dict.fromkeys(weeks, 0))
    if not weeks:
        return report
    reader.prepare(max(weeks))
    decisions = promotions(client, source)
    maker = _Maker(registry, reader, source, kind, canonical_json(snapshot_ids or {}), decisions)
    frames: list[pl.DataFrame] = []
    refusals: list[dict[str, Any]] = []
    for done, week in enumerate(sorted(weeks)):
        if progress:
            progress("weeks", done, len(weeks))
        moment = reader.decision_time(week)
        if moment is None:
            (report.no_data if reader.deadline(week) else report.no_origin).append(week)
            continue
        _check_in_time(reader, week, moment)
        panel = reader.at(moment).panel
        refusals += refused(panel, reader.weeks, week, instruments)
        made = maker.week(week, moment, panel)
        report.by_week[week] = sum(frame.height for frame in made)
        frames += made
    if progress:
        progress("weeks", len(weeks), len(weeks))
    report.refusals = pl.DataFrame(refusals, schema=REFUSALS)
    report.forecasts = (
        pl.concat(frames) if frames else pl.DataFrame(schema=dict.fromkeys(FORECASTS, pl.String))
    )
    report.rows_added = write_forecasts(client, report.forecasts)
    return report


@dataclass
class _Maker:
    """Makes the rows of one week; holds what the weeks share."""

    registry: Registry
    reader: PanelReader
    source: str
    kind: str
    snapshot_ids: str
    decisions: pl.DataFrame
    _baselines: dict[str, tuple[ModelRef, Fitted]] = field(default_factory=dict)

    def week(self, week: date, moment: datetime, panel: Panel) -> list[pl.DataFrame]:
        issue = Issue(
            self.source, self.kind, moment, self.reader.clock, datetime.now(UTC), self.snapshot_ids
        )
        made = []
        for pool in pools_of(panel):
            origins = origin_rows(of_pool(panel, pool), [week])
            rows = origins.rows(origins.usable)
            if not len(rows):
                continue
            champion = champion_in(self.decisions, pool, moment)
            if champion is None:
                raise PlatformError(
                    f"pool {pool!r} of {self.source} has no champion at {moment:%Y-%m-%d}: "
                    f"materialize the training of week {refit_week(week)} first"
                )
            if self.kind == "live":
                self.registry.check_alias(self.source, pool, champion)
            for role, ref, fitted in (
                ("champion", champion, self.registry.load(champion)),
                ("baseline", *self._baseline(pool)),
            ):
                distribution = fitted.predict(rows)
                weeks = self.reader.weeks
                made.append(forecast_rows(rows, distribution, ref, role, issue=issue, weeks=weeks))
        return made

    def _baseline(self, pool: str) -> tuple[ModelRef, Fitted]:
        """The uncalibrated random walk; it has no parameters, so it needs no registry to run."""
        if pool not in self._baselines:
            fitted = Fitted(by_name(BASELINE), {})
            digest = model_digest(fitted)
            found = self.registry.find(self.source, pool, digest)
            self._baselines[pool] = (found or ModelRef(BASELINE, 0, digest), fitted)
        return self._baselines[pool]


def _check_in_time(reader: PanelReader, week: date, moment: datetime) -> None:
    deadline = reader.deadline(week)
    if deadline is not None and moment >= deadline:
        raise PlatformError(
            f"the forecast of week {week} comes too late: it is {moment:%Y-%m-%d %H:%M}, the next "
            f"session opened at {deadline:%Y-%m-%d %H:%M} UTC; run it as a backtest"
        )
