"""G4 for features: what was computed on data up to t equals what is computed on longer data.

Every row of fct_features_daily up to a session is compared, bit for bit, with int_features_as_of at
that session's end; leaks planted in copies of the macros make the comparison fail.
"""

from datetime import date

import pytest

from tests.support.dbt_project import Project

CUTS = [
    date(2000, 3, 1),  # first session
    date(2001, 9, 10),  # no windows of 250 before the long gap of September 2001
    date(2003, 2, 14),  # eve of MSFT's split
    date(2003, 2, 18),  # MSFT's split
    date(2005, 2, 28),  # AAPL's split
    date(2008, 10, 10),
    date(2012, 5, 18),  # FB's first session
    date(2012, 11, 14),
    date(2013, 3, 1),  # last session
]


def differing_rows(project: Project, cut: date) -> int:
    """Rows that are in one of: the table up to `cut`, the view as of the end of `cut`; not both."""
    columns = ", ".join(
        row[0]
        for row in project.rows(
            "SELECT name FROM system.columns"
            " WHERE database = currentDatabase() AND table = 'fct_features_daily'"
        )
    )
    moment = project.value(
        "SELECT toString(max(available_at)) FROM stg_equity_prices"
        f" WHERE session = '{cut}' AND source = 'sample'"
    )
    table = f"SELECT {columns} FROM fct_features_daily WHERE session <= '{cut}'"
    view = f"SELECT {columns} FROM int_features_as_of(as_of = '{moment}', clock = 'available_at')"
    return int(
        project.value(
            f"SELECT count() FROM (SELECT * FROM (({table}) UNION ALL ({view}))"
            f" GROUP BY {columns} HAVING count() != 2)"
        )
    )


LAST_SPLIT = (
    "close * cumulative_ratio / max(cumulative_ratio) OVER (PARTITION BY instrument_id)"
    " AS price_index"
)
MODELS = "int_daily_prices fct_features_daily int_features_as_of"


def test_features_up_to_a_session_never_change(on_sample: Project) -> None:
    assert on_sample.dbt("run", "--select", MODELS)[1] == {}
    rows = on_sample.value("SELECT count() FROM fct_features_daily")
    assert rows == on_sample.value("SELECT count() FROM stg_equity_prices") == 12154
    assert {cut: differing_rows(on_sample, cut) for cut in CUTS} == dict.fromkeys(CUTS, 0)


def test_no_row_has_an_input_from_after_its_own_bar(on_sample: Project) -> None:
    """The sample has no late revision, so a row is available exactly when its bar is."""
    assert on_sample.dbt("run", "--select", MODELS)[1] == {}
    late = on_sample.value(
        "SELECT count() FROM fct_features_daily AS f INNER JOIN stg_equity_prices AS p"
        " ON f.instrument_id = p.instrument_id AND f.session = p.session"
        " WHERE f.available_at != p.available_at"
    )
    assert late == 0


def test_live_decisions_see_nothing_before_it_was_fetched(on_sample: Project) -> None:
    assert on_sample.dbt("run", "--select", MODELS)[1] == {}
    view = "int_features_as_of(as_of = '2013-03-05 00:00:00', clock = '{}')"
    assert on_sample.value(f"SELECT count() FROM {view.format('available_at')}") == 12154
    assert on_sample.value(f"SELECT count() FROM {view.format('known_at')}") == 0
    with pytest.raises(Exception, match="Unknown element 'session' for enum"):
        on_sample.value(f"SELECT count() FROM {view.format('session')}")


@pytest.mark.parametrize(
    ("file", "honest", "leak"),
    [
        (
            "macros/features.sql",
            "({{ column }}_so_far - lagInFrame(",
            (
                "(leadInFrame({{ column }}_so_far) OVER (PARTITION BY instrument_id"
                " ORDER BY session ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)"
                " - lagInFrame("
            ),
        ),
        pytest.param(
            "macros/features.sql",
            "prices.volume / prices.split_factor AS",
            "prices.volume / max(prices.volume) OVER (PARTITION BY prices.instrument_id) AS",
            marks=pytest.mark.slow,
        ),
        (
            "macros/adjust.sql",
            "close * split_factor AS price_index",
            LAST_SPLIT,
        ),
    ],
    ids=[
        "window reaches a session ahead",
        "scaled by the whole series",
        "adjusted to the last split",
    ],
)
def test_a_planted_leak_is_caught(on_sample: Project, tmp_path, file, honest, leak) -> None:
    leaky = on_sample.edited(tmp_path / "dbt", file, honest, leak)
    assert leaky.dbt("run", "--select", MODELS)[1] == {}
    assert sum(differing_rows(leaky, cut) for cut in CUTS[1:-1]) > 0
