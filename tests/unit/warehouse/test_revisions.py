"""Every large revision is told exactly once, whatever lies between two checks."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import polars as pl

from stock_platform.warehouse.revisions import after_telling, from_json, to_json, untold

START = datetime(2026, 1, 1, 22, tzinfo=UTC)


def mart(*revisions: tuple[str, int, str]) -> pl.DataFrame:
    """Large revisions as (id, day they were learned, source)."""
    return pl.DataFrame(
        [(name, START + timedelta(days=day), source) for name, day, source in revisions],
        schema={"id": pl.String, "known_at": pl.Datetime("us", "UTC"), "source": pl.String},
        orient="row",
    )


class Checks:
    """Evaluations one after the other; what one leaves goes through JSON to the next."""

    def __init__(self) -> None:
        self.kept = "{}"

    def tell(self, *revisions: tuple[str, int, str]) -> list[str]:
        found, told = mart(*revisions), from_json(json.loads(self.kept))
        self.kept = json.dumps(to_json(after_telling(found, told)))
        return untold(found, told)["id"].to_list()


def test_several_loads_between_two_checks() -> None:
    checks = Checks()
    assert checks.tell() == []
    one, two, three = ("one", 1, "yahoo"), ("two", 2, "yahoo"), ("three", 3, "yahoo")
    assert checks.tell(one, two) == ["one", "two"]
    assert checks.tell(one, two) == []
    assert checks.tell(one, two, three) == ["three"]
    assert checks.tell(one, two, three) == []


def test_what_a_killed_load_had_written_arrives_after_a_later_one() -> None:
    """The next load registers it, with the moment at which it was learned."""
    checks = Checks()
    early, late = ("early", 5, "yahoo"), ("late", 6, "yahoo")
    assert checks.tell(late) == ["late"]
    assert checks.tell(early, late) == ["early"]
    same = ("same load", 6, "yahoo")
    assert checks.tell(early, late, same) == ["same load"]
    assert checks.tell(early, late, same) == []


def test_a_source_beside_has_its_own_memory() -> None:
    checks = Checks()
    share, metal = ("share", 100, "yahoo"), ("metal", 1, "cbr")
    assert checks.tell(share) == ["share"]
    assert checks.tell(share, metal) == ["metal"]
    assert checks.tell(share, metal) == []


def test_another_active_source_in_between_forgets_nothing() -> None:
    checks = Checks()
    share = ("share", 1, "yahoo")
    assert checks.tell(share) == ["share"]
    assert checks.tell() == []
    assert checks.tell(("other", 90, "files")) == ["other"]
    assert checks.tell(share) == []


def test_the_memory_does_not_grow_with_the_years() -> None:
    checks = Checks()
    history = [(f"r{day}", day, "yahoo") for day in range(0, 2000, 5)]
    told = [name for end in range(1, len(history) + 1, 7) for name in checks.tell(*history[:end])]
    told += checks.tell(*history)
    assert told == [name for name, _, _ in history]
    assert len(from_json(json.loads(checks.kept))["yahoo"].later) < 10
