from datetime import date, timedelta

import polars as pl
import pytest

from stock_platform.sources import yahoo_basis
from stock_platform.sources.yahoo_basis import Basis

START = date(2020, 8, 3)
TODAY = date(2020, 9, 10)


def days(count: int = 30) -> list[date]:
    return [START + timedelta(n) for n in range(count)]


def closes(values: list[float]) -> pl.DataFrame:
    return pl.DataFrame(
        {"session": days(len(values)), "close": values},
        schema={"session": pl.Date, "close": pl.Float64},
    )


def splits(*rows: tuple[date, float]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema={"session": pl.Date, "value": pl.Float64}, orient="row")


def traded(*events: tuple[int, float]) -> list[float]:
    """Thirty closes as traded, with splits of a ratio before the n-th."""
    price, found = 400.0, []
    for n in range(30):
        for at, ratio in events:
            price = price / ratio if n == at else price
        found.append(price + n / 10)
    return found


def stated(values: list[float], *applied: tuple[int, float]) -> pl.DataFrame:
    """Closes divided by splits."""
    out = list(values)
    for at, ratio in applied:
        out = [v / ratio if n < at else v for n, v in enumerate(out)]
    return closes(out)


def find(
    said: pl.DataFrame,
    held: pl.DataFrame,
    listed: pl.DataFrame,
    stored: pl.DataFrame | None = None,
    today: date = TODAY,
) -> Basis:
    return yahoo_basis.find(said, held, listed, splits() if stored is None else stored, today)


def test_a_listed_split_that_the_stored_closes_confirm_is_divided_out() -> None:
    prices = traded((20, 4.0))
    split = (days()[20], 4.0)
    found = find(stated(prices, (20, 4.0)), closes(prices[:20]), splits(split))
    assert (found.splits.rows(), found.note, found.problem) == ([split], "", "")


def test_a_split_applied_late_is_left_out_and_said() -> None:
    prices = traded((20, 4.0))
    found = find(closes(prices), closes(prices[:20]), splits((days()[20], 4.0)))
    assert found.splits.is_empty()
    assert found.note == "its prices are not divided by the split of 4:1 on 2020-08-23 yet"
    assert not found.problem


def test_half_of_the_stored_closes_lying_after_a_late_split_prove_nothing() -> None:
    prices = traded((5, 4.0))
    found = find(closes(prices[:10]), closes(prices[:10]), splits((days()[5], 4.0)))
    assert found.splits.is_empty()
    assert not found.problem


def test_a_split_applied_before_its_day_is_divided_out() -> None:
    prices = traded()
    split = (days()[29] + timedelta(1), 4.0)
    said = closes([price / 4 for price in prices])
    found = find(said, closes(prices[:25]), splits(split), today=days()[29])
    assert found.splits.rows() == [split]
    assert "already" in found.note


def test_a_split_that_left_the_list_is_remembered_from_the_lake() -> None:
    prices = traded((20, 4.0))
    split = (days()[20], 4.0)
    found = find(stated(prices, (20, 4.0)), closes(prices[:20]), splits(), splits(split))
    assert found.splits.rows() == [split]
    assert "already" in found.note


def test_of_two_splits_the_late_one_alone_is_left_out() -> None:
    prices = traded((12, 2.0), (22, 3.0))
    both = splits((days()[12], 2.0), (days()[22], 3.0))
    found = find(stated(prices, (12, 2.0)), closes(prices[:25]), both)
    assert found.splits.rows() == [(days()[12], 2.0)]


def test_a_factor_that_no_listed_split_explains_is_a_problem_with_its_ratio() -> None:
    prices = traded()
    found = find(closes([price / 4 for price in prices]), closes(prices[:20]), splits())
    assert (found.field, found.value) == ("close", "4")
    assert "4 times what Yahoo states now" in found.problem
    assert "2020-08-03 to 2020-08-22" in found.problem


@pytest.mark.parametrize("revised", [0, 7, 19])
def test_one_revised_close_does_not_shake_the_basis(revised: int) -> None:
    prices = traded((20, 4.0))
    said = stated([p * 1.3 if n == revised else p for n, p in enumerate(prices)], (20, 4.0))
    found = find(said, closes(prices[:20]), splits((days()[20], 4.0)))
    assert found.splits.height == 1
    assert not found.problem


def test_a_revised_close_after_the_split_alone_in_its_part_is_a_revision() -> None:
    prices = traded((20, 4.0))
    said = stated([p * 1.3 if n == 20 else p for n, p in enumerate(prices)], (20, 4.0))
    found = find(said, closes(prices[:21]), splits((days()[20], 4.0)))
    assert (found.splits.height, found.problem) == (1, "")


def test_without_stored_closes_the_step_over_a_split_tells() -> None:
    prices = traded((20, 4.0))
    listed = splits((days()[20], 4.0))
    nothing = closes([])
    assert not find(stated(prices, (20, 4.0)), nothing, listed).problem
    wrong = find(closes(prices), nothing, listed)
    assert (wrong.field, wrong.value) == ("split", "4")
    assert "lists a split of 4:1 on 2020-08-23" in wrong.problem


def test_a_split_before_the_first_stored_close_has_to_show_too() -> None:
    prices = traded((10, 4.0))
    held = closes(prices).filter(pl.col("session") >= days()[15])
    assert find(closes(prices), held, splits((days()[10], 4.0))).field == "split"
    assert not find(stated(prices, (10, 4.0)), held, splits((days()[10], 4.0))).problem


def test_a_split_of_tomorrow_is_not_divided_out() -> None:
    prices = traded()
    found = find(closes(prices), closes(prices[:20]), splits((TODAY + timedelta(1), 4.0)))
    assert (found.splits.height, found.note) == (0, "")


def test_a_factor_is_the_product_of_the_splits_that_follow() -> None:
    both = splits((days()[2], 2.0), (days()[4], 3.0))
    found = yahoo_basis.factor(pl.DataFrame({"session": days(6)}), both)
    assert found.to_list() == [6, 6, 3, 3, 1, 1]
    assert yahoo_basis.factor(pl.DataFrame({"session": days(2)}), splits()).to_list() == [1, 1]


@pytest.mark.parametrize(
    ("values", "held", "odd"),
    [
        ([10.0, 10.1, 1010.0, 10.2, 10.1], 0, [2]),
        ([10.0, 10.1, 0.101, 10.2, 10.1], 0, [2]),
        ([1010.0, 10.1, 10.0, 10.2, 10.1], 0, [0]),
        ([10.0, 10.1, 10.0, 1020.0, 1010.0], 0, [3, 4]),
        ([1000.0, 1010.0, 1005.0, 10.2, 10.1], 0, [3, 4]),
        # what is stored outweighs the number
        ([1000.0, 1010.0, 10.1, 10.2, 10.1], 2, [2, 3, 4]),
        ([10.0, 50.0, 10.0, 250.0, 10.0], 0, []),
    ],
)
def test_closes_off_by_a_hundred_stand_out(values: list[float], held: int, odd: list[int]) -> None:
    found = yahoo_basis.other_unit(closes(values), closes(values[:held]), splits())
    assert found["session"].to_list() == [days()[n] for n in odd]
    assert found["close"].to_list() == [values[n] for n in odd]


def test_a_split_of_a_hundred_is_no_change_of_unit() -> None:
    said = closes([1000.0, 1010.0, 10.1, 10.2])
    listed = splits((days()[2], 100.0))
    assert yahoo_basis.other_unit(said, closes([]), listed).is_empty()


@pytest.mark.parametrize(
    ("currency", "iso", "units"),
    [
        ("GBp", "GBP", 100),
        ("GBP", "GBP", 1),
        ("ZAc", "ZAR", 100),
        ("ILA", "ILS", 100),
        ("USD", "USD", 1),
    ],
)
def test_hundredths_are_known_by_their_name(currency: str, iso: str, units: float) -> None:
    assert yahoo_basis.unit(currency) == (iso, units)
