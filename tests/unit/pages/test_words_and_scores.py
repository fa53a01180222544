"""The sentences and the numbers of the pages, without a warehouse."""

import re
import tomllib
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml

from stock_platform.ml.metrics import newey_west_error
from stock_platform.ml.record import BAND, COVERAGE_WEEKS
from stock_platform.pages import scores, words
from stock_platform.pages.charts import palette
from stock_platform.pages.completeness import coverage
from stock_platform.pages.model import candidate_table
from stock_platform.settings import PROJECT_ROOT

PAGES = Path(words.__file__).parent
CONFIG = PAGES / ".streamlit" / "config.toml"


def weekly(gains: list[float]) -> pl.DataFrame:
    """Weeks in which a loss of 1 was reduced by so much."""
    days = [date(2020, 1, 6) + timedelta(weeks=week) for week in range(len(gains))]
    return pl.DataFrame(
        {
            "week": days,
            "pinball_loss": 1 - np.array(gains),
            "baseline_pinball_loss": np.ones(len(gains)),
            "coverage_80": np.resize([1.0, 0.6], len(gains)),
        }
    )


@pytest.mark.parametrize(
    ("gains", "verdict", "said"),
    [
        ([], "early", "No forecast of X has matured yet"),
        ([0.1] * 10, "early", "too early to tell"),
        ([0.04, 0.06] * 20, "better", "better than the random walk: skill +5.00 %"),
        ([-0.04, -0.06] * 20, "worse", "worse than the random walk: skill −5.00 %"),  # noqa: RUF001
        ([0.5, -0.5] * 20, "unclear", "can't be told from the random walk"),
    ],
)
def test_skill_says_what_the_weeks_allow(gains: list[float], verdict: str, said: str) -> None:
    found = scores.skill(weekly(gains))
    assert found.verdict == verdict
    assert said in words.skill(found, "X")


def test_the_band_is_of_weekly_means() -> None:
    gains = np.random.default_rng(1).normal(0.02, 0.1, 60)
    found = scores.skill(weekly(gains.tolist()))
    assert found.value == pytest.approx(gains.mean())
    assert found.high - found.value == pytest.approx(BAND * newey_west_error(gains))
    so_far = scores.skill_so_far(weekly(gains.tolist()))
    assert so_far.row(-1)[1:] == pytest.approx((found.value, found.low, found.high))


def test_coverage_over_time_is_a_rolling_share_with_the_band_of_chance() -> None:
    assert scores.coverage_over_time(weekly([0.0] * 10), 80).is_empty()
    found = scores.coverage_over_time(weekly([0.0] * (COVERAGE_WEEKS + 4)), 80)
    assert found.height == 5
    assert found["coverage"].to_list() == pytest.approx([0.8] * 5)
    assert (found["low"] < 0.8).all()
    assert (found["high"] > 0.8).all()


def test_no_better_model_is_said() -> None:
    assert "No model has beaten the random walk" in words.champion("random_walk_calibrated", "fx")
    assert words.champion("forest", "fx") == ""


@pytest.mark.parametrize(
    ("behind", "live", "closed", "said"),
    [
        (0, False, 900, ""),
        (0, True, 1, ""),
        (0, True, 3, "3 sessions have closed since"),
        (1, True, 0, "1 session before that of others"),
        (2, False, 0, "2 sessions before that of others"),
    ],
)
def test_staleness(behind: int, live: bool, closed: int, said: str) -> None:
    found = words.staleness("X", date(2020, 1, 6), behind, live=live, closed_since=closed)
    assert (said in found) if said else found == ""


def test_missing_sessions_bear_their_reason() -> None:
    days = [date(2020, 1, 6) + timedelta(days=n) for n in range(40)]
    reasons = pl.DataFrame(
        {
            "session": [days[3], days[5]],
            "row_ref": ["", "a.csv:2"],
            "reason": ["closed", "rejected"],
            "field": ["", "close"],
            "value": ["", "n/a"],
            "detail": ["a holiday", ""],
        }
    )
    bars = pl.Series([day for day in days if day not in (days[3], days[30])])
    found = coverage(pl.Series(days), bars, reasons)
    assert found.expected == 40
    assert found.missing.rows() == [
        (days[30], "unexplained", ""),
        (days[3], "closed", "a holiday"),
    ]
    assert found.months["missing"].to_list() == [1, 1]
    assert found.quarantined["row_ref"].to_list() == ["a.csv:2"]
    assert "2 of 40 expected sessions have no bar (5.00 %)" in words.missing(40, 2)


def test_the_band_of_a_candidate_follows_from_its_t() -> None:
    evidence = {
        "candidates": {
            "random_walk": {"skill": 0.0, "skill_t": 0.0},
            "ewma": {"skill": 0.02, "skill_t": 2.0},
        }
    }
    best, base = candidate_table(evidence).rows(named=True)
    assert (best["key"], best["low"]) == ("ewma", pytest.approx(0.02 - BAND * 0.01))
    assert (base["low"], base["high"]) == (0.0, 0.0)
    assert candidate_table({}).is_empty()


def test_the_exposure_names_what_the_app_reads() -> None:
    """dbt's lineage ends at the app; a model that it reads is not changed unawares."""
    sources = [path.read_text() for path in (PAGES / "queries").glob("*.py")]
    asked = set(re.findall(r"(?:FROM|JOIN) ((?:dim|fct|agg|int|stg)_\w+)", " ".join(sources)))
    exposures = yaml.safe_load((PROJECT_ROOT / "dbt" / "models" / "exposures.yml").read_text())
    (app,) = (one for one in exposures["exposures"] if one["name"] == "forecast_page")
    told = {name for one in app["depends_on"] for name in re.findall(r"ref\('(\w+)'\)", one)}
    assert asked == told


def luminance(colour: str) -> float:
    """Relative luminance by WCAG 2.1."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


def contrast(one: str, other: str) -> float:
    """Contrast ratio by WCAG 2.1, 1 to 21."""
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_colours_have_contrast_on_both_themes(theme: str) -> None:
    """AA: 4.5 for text, 3 for what a picture is read by."""
    config = tomllib.loads(CONFIG.read_text())["theme"]
    of = config[theme]
    for background in (of["backgroundColor"], of["secondaryBackgroundColor"]):
        for text in (of["textColor"], of["linkColor"], of["primaryColor"]):
            assert contrast(text, background) >= 4.5, (text, background)
    for colour in palette.SERIES:
        assert contrast(colour, of["backgroundColor"]) >= 3, colour
    assert config["chartCategoricalColors"] == list(palette.SERIES)
