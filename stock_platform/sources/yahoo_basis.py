"""On which basis an answer of Yahoo states its prices: unit of currency, and splits divided out.

What lives here finds the basis and confirms it on closes as traded that the lake holds; what can't
be confirmed is said, never guessed. What does not: judging single bars (`yahoo_rows.py`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date
from itertools import chain, combinations

import polars as pl

from stock_platform.sources import basis

HUNDREDTHS = {"GBp": "GBP", "GBX": "GBP", "ZAc": "ZAR", "ZAC": "ZAR", "ILA": "ILS"}
"""Currencies that Yahoo quotes in hundredths, by the name it uses then."""

AGREES = 1e-4
"""Two closes within this relative distance are one: Yahoo sends floats of 32 bits."""

RECENT_SPLITS = 4
"""So many of the newest splits may be applied late or early; older ones have settled."""

LARGEST_RESTATEMENT = 0.05
"""A close that Yahoo corrects moves by at most this share; what moves more is something else."""

ALTOGETHER = 3
"""With fewer closes than this, nothing tells corrections of each from a change of all."""

ANEW = (
    "if this is how Yahoo means it for good, give the instrument another row in the universe with "
    "the same symbol and today as first_session: its history is then taken anew"
)
"""What a person does about a basis that does not come right by itself (docs/live-sources.md)."""

HUNDREDFOLD = (80.0, 125.0)
"""A price this many times another one, overnight, is in another unit."""


@dataclass(frozen=True)
class Basis:
    """Which splits an answer's prices are divided by.

    Attributes:
        splits: session (ex-date), value (ratio): those divided out.
        note: how this differs from what Yahoo's own list says, for people; '' if it does not.
        problem: why the answer can't be used, for people; '' if it can.
        field, value: the column and value to blame for the problem.
    """

    splits: pl.DataFrame
    note: str = ""
    problem: str = ""
    field: str = ""
    value: str = ""


def unit(currency: str) -> tuple[str, float]:
    """ISO code of a currency as Yahoo writes it, and how many of its units make one of the code."""
    return (HUNDREDTHS[currency], 100.0) if currency in HUNDREDTHS else (currency, 1.0)


def find(
    closes: pl.DataFrame,
    held: pl.DataFrame,
    listed: pl.DataFrame,
    stored: pl.DataFrame,
    today: date,
    *,
    accepted: date | None = None,
) -> Basis:
    """The splits that an answer is divided by.

    Those it lists, up to `today`, unless closes that the lake holds as traded say otherwise: a
    split may be listed before or after it is applied, or missing from the list for once. Splits
    that no stored close reaches back across have to show in the closes around them.

    Args:
        closes: session, close as Yahoo states it; sorted.
        held: session, close as traded.
        listed: session, value: splits of the answer.
        stored: session, value: splits of the lake.
        today: of the exchange, when Yahoo answered.
        accepted: splits before this day are as listed, whatever the closes around them look like.
    """
    both = pl.concat(
        [listed, stored.join(listed, on="session", how="anti").select(listed.columns)]
    ).sort("session")
    usual = both.filter(
        pl.col("session").is_in(listed["session"].to_list()), pl.col("session") <= today
    )
    compared = closes.join(held.rename({"close": "traded"}), on="session").sort("session")
    if compared.height:
        found = _explained(compared, both, usual) or _restated(compared, usual)
        if found is None:
            return _unexplained(compared, usual)
        chosen, note = found
        compared_from = compared["session"][0]
        chosen_unseen = chosen.filter(pl.col("session") <= compared_from)
    else:
        chosen, note, chosen_unseen = usual, "", usual
    if accepted is not None:
        chosen_unseen = chosen_unseen.filter(pl.col("session") >= accepted)
    wrong = basis.contradictions(_named(closes), _named(chosen_unseen), "split_adjusted")
    if wrong.height:
        row = wrong.row(0, named=True)
        return Basis(
            chosen,
            problem=f"Yahoo lists a split of {row['value']:g}:1 on {row['session']}, but its "
            f"closes before that day are not divided by it: they go from {row['before']:g} to "
            f"{row['close']:g}; {ANEW}",
            field="split",
            value=f"{row['value']:g}",
        )
    return Basis(chosen, note)


def factor(sessions: pl.DataFrame, splits: pl.DataFrame) -> pl.Series:
    """Per row of `sessions` (column session): the product of the ratios of later splits."""
    return _factor(sessions["session"], splits.rows())


def other_unit(closes: pl.DataFrame, held: pl.DataFrame, splits: pl.DataFrame) -> pl.DataFrame:
    """The closes that are a hundred times, or a hundredth of, the rest of their answer.

    The rest is what the stored closes' sessions mostly are, without stored ones the majority.

    Args:
        closes: session, close as Yahoo states it; sorted.
        held: session, ...: stored sessions.
        splits: session, value: listed ones; a step where one of about that size stands is none.

    Returns:
        session, close, usual (the close before or after the step).
    """
    low, high = HUNDREDFOLD
    step = pl.col("close") / pl.col("close").shift()
    large = splits.filter(pl.col("value").log().abs() > math.log(low / 2))["session"].to_list()
    level = (
        pl.when(pl.col("session").is_in(large))
        .then(0)
        .when(step.is_between(low, high))
        .then(1)
        .when(step.is_between(1 / high, 1 / low))
        .then(-1)
        .otherwise(0)
        .fill_null(0)
        .cum_sum()
    )
    levels = closes.select("session", "close", level.alias("level"))
    if levels["level"].n_unique() <= 1:
        return levels.head(0).select("session", "close", pl.col("close").alias("usual"))
    known = levels.join(held, on="session", how="semi")
    usual = (known if known.height else levels)["level"].mode().sort()[0]
    right = pl.when(pl.col("level") == usual).then("close")
    return (
        levels.with_columns(right.forward_fill().fill_null(right.backward_fill()).alias("usual"))
        .filter(pl.col("level") != usual)
        .select("session", "close", "usual")
    )


def _explained(
    compared: pl.DataFrame, both: pl.DataFrame, usual: pl.DataFrame
) -> tuple[pl.DataFrame, str] | None:
    """The set of splits, nearest to the usual one, with which stored and stated closes agree."""
    first = compared["session"][0]
    recent = both.filter(pl.col("session") > first).tail(RECENT_SPLITS).rows()
    settled = [row for row in usual.rows() if row not in recent]
    options = [
        [*settled, *some]
        for some in chain.from_iterable(combinations(recent, n) for n in range(len(recent) + 1))
    ]
    expected = set(usual.rows())

    def oddity(some: list[tuple[date, float]]) -> tuple[int, int]:
        odd = expected.symmetric_difference(some)
        return len(odd), -max((row[0].toordinal() for row in odd), default=0)

    options.sort(key=oddity)
    for some in options:
        if _agrees(compared, some, recent):
            notes = [
                f"its prices are not divided by the split of {_told(row)} yet"
                for row in sorted(expected.difference(some))
            ] + [
                f"its prices are divided by the split of {_told(row)} already"
                for row in sorted(set(some).difference(expected))
            ]
            frame = pl.DataFrame(sorted(some), schema=usual.schema, orient="row")
            return frame, "; ".join(notes)
    return None


def _agrees(
    compared: pl.DataFrame, splits: list[tuple[date, float]], recent: list[tuple[date, float]]
) -> bool:
    """At least half the closes agree, also between any two splits in question.

    After the last of these every choice says the same, so what agrees there proves nothing; one
    close that disagrees is a revision.
    """
    near = _deviation(compared, splits).is_between(1 - AGREES, 1 + AGREES)
    if near.mean() < 0.5:  # type: ignore[operator]
        return False
    ends = [row[0] for row in recent]
    parts = compared.select(
        near.alias("near"),
        pl.sum_horizontal(
            pl.lit(0), *[(pl.col("session") >= end).cast(pl.Int32) for end in ends]
        ).alias("part"),
    ).filter(pl.col("part") < len(ends))
    shares = parts.group_by("part").agg(pl.col("near").mean())["near"]
    return bool((shares >= 0.5).all())


def _restated(compared: pl.DataFrame, usual: pl.DataFrame) -> tuple[pl.DataFrame, str] | None:
    """The usual splits, if most closes moved a little and each by its own share.

    Another basis, or another series, moves many by one ratio.
    """
    moved = _deviation(compared, usual.rows()) - 1
    moved = moved.filter(moved.abs() > AGREES).sort()
    most = max(moved.abs().to_list(), default=0.0)
    if moved.len() < ALTOGETHER or most > LARGEST_RESTATEMENT:
        return None
    alike = max(moved.is_between(one - AGREES, one + AGREES).sum() for one in moved)
    if alike * 2 > moved.len():
        return None
    note = (
        f"{moved.len()} of {compared.height} stored closes are stated otherwise by now, each by "
        f"another share of at most {most:.2%}: kept as revisions"
    )
    return usual, note


def _deviation(compared: pl.DataFrame, splits: list[tuple[date, float]]) -> pl.Series:
    """Stored close as traded / stated close brought to that basis: 1 where they agree."""
    return compared["traded"] / (compared["close"] * _factor(compared["session"], splits))


def _unexplained(compared: pl.DataFrame, usual: pl.DataFrame) -> Basis:
    ratio = float(_deviation(compared, usual.rows()).median())  # type: ignore[arg-type]
    days = f"{compared.height} stored session{'' if compared.height == 1 else 's'}"
    return Basis(
        usual,
        problem=f"the closes as traded that are stored are {ratio:.6g} times what Yahoo states now "
        f"(over {days} from {compared['session'][0]} to {compared['session'][-1]}), and no split "
        "it lists explains that: a split may be applied before it is listed. Nothing of it is used "
        f"until they agree; {ANEW}",
        field="close",
        value=f"{ratio:.6g}",
    )


def _factor(sessions: pl.Series, splits: list[tuple[date, float]]) -> pl.Series:
    product = pl.lit(1.0)
    for ex_date, ratio in splits:
        product = product * pl.when(pl.col("session") < ex_date).then(ratio).otherwise(1.0)
    return pl.DataFrame({"session": sessions}).with_columns(product.alias("factor"))["factor"]


def _named(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(pl.lit("").alias("instrument_id"))


def _told(split: tuple[date, float]) -> str:
    return f"{split[1]:g}:1 on {split[0]}"
