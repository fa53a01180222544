"""The frozen schema, through the real dlt pipeline: nothing gets in that a reader would misread."""

import os
import shutil
from datetime import timedelta

import polars as pl
import pyarrow as pa
import pytest

from stock_platform.errors import PlatformError
from stock_platform.lake.frozen import ContractError
from tests.support.lake import MONDAY, SaidSource, Workshop, bar, hour


class BentSource(SaidSource):
    """Changes the Arrow table on its way to dlt."""

    def __init__(self, bend, rows):
        super().__init__(equity_prices=rows)
        self.bend = bend

    def arrow(self, known_at):
        for name, table in super().arrow(known_at):
            yield name, self.bend(table)


def replaced(name: str, values) -> object:
    return lambda table: table.set_column(table.column_names.index(name), name, values)


SHAPES = {
    "a new column": (
        lambda table: table.append_column("surprise", pa.array(["x"])),
        "'surprise' is not in the frozen schema",
    ),
    "a column in other letters": (
        lambda table: table.rename_columns(
            ["Close" if name == "close" else name for name in table.column_names]
        ),
        "'Close' is not in the frozen schema",
    ),
    "text for a price": (
        replaced("close", pa.array(["10"])),
        "'close' arrived as text and is frozen as Float64",
    ),
    "an integer for a price": (
        replaced("close", pa.array([10])),
        "'close' arrived as bigint and is frozen as Float64",
    ),
    "a moment for a day": (
        replaced("session", pa.array([0], pa.timestamp("us", "UTC"))),
        "'session' arrived as timestamp and is frozen as Date",
    ),
    "a missing column": (lambda table: table.drop_columns(["close"]), "'close' is empty"),
}


@pytest.mark.parametrize("second_run", [False, True], ids=["first run", "second run, fresh dlt"])
@pytest.mark.parametrize("shape", SHAPES)
def test_another_shape_is_refused(workshop: Workshop, shape, second_run):
    """dlt takes what a first run brings for the schema; ours must hold on the first run too."""
    if second_run:
        workshop.load(bar())
        shutil.rmtree(workshop.settings.home / "dlt")
    before = workshop.files()
    bend, message = SHAPES[shape]
    with pytest.raises(ContractError, match=message) as caught:
        workshop.load(source=BentSource(bend, [bar(close=11)]), at=hour(1))
    assert "equity_prices" in str(caught.value)
    assert workshop.files() == before


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"instrument_id": None}, "'instrument_id' is empty"),
        ({"session": None}, "'session' is empty"),
        ({"close": None}, "'close' is empty"),
        ({"close": float("nan")}, "'close' nan is no finite number"),
        ({"high": float("inf")}, "'high' inf is no finite number"),
        ({"finality": "Final"}, "'finality' 'Final' must be provisional or final"),
        ({"availability": "guessed"}, "'availability' 'guessed' must be"),
        ({"source": "yahoo"}, "'source' 'yahoo' must be 'said'"),
        ({"known_at": hour(-5)}, "'known_at' .* must be 2024-06-01"),
    ],
)
def test_rows_the_lake_could_not_answer_for_are_refused(workshop: Workshop, row, message):
    with pytest.raises(ContractError, match=message):
        workshop.load(bar("GOOD"), bar("AAA") | row)
    assert workshop.files() == {}


def test_nothing_is_available_after_it_was_known(workshop: Workshop):
    late = replaced("available_at", pl.Series([hour(3)]).to_arrow())
    with pytest.raises(ContractError, match=r"'available_at' .* is after known_at"):
        workshop.load(source=BentSource(late, [bar()]))


def test_one_delivery_can_not_say_two_things_of_one_key(workshop: Workshop):
    with pytest.raises(ContractError, match="comes twice with different values"):
        workshop.load(bar(), bar(close=12))


def test_a_delivery_is_refused_whole(workshop: Workshop, monkeypatch):
    monkeypatch.setattr("stock_platform.lake.sink._BATCH_ROWS", 1)
    rows = [bar(session=MONDAY + timedelta(days=n)) for n in range(4)]
    with pytest.raises(ContractError):
        workshop.load(*rows, bar(session=MONDAY + timedelta(days=4), close=float("nan")))
    with pytest.raises(ContractError, match="comes twice"):
        workshop.load(*rows, bar(session=MONDAY + timedelta(days=3), close=12))
    assert workshop.files() == {}


def test_a_refused_delivery_says_so_once(workshop: Workshop, capfd):
    """And not also as pages of dlt's log."""
    with pytest.raises(ContractError):
        workshop.load(bar(close=float("nan")))
    assert capfd.readouterr() == ("", "")


def test_an_unknown_dataset_is_refused(workshop: Workshop):
    class Other(SaidSource):
        def arrow(self, known_at):
            yield "gossip", pa.table({"x": [1]})

    with pytest.raises(PlatformError, match="no dataset 'gossip'"):
        workshop.load(source=Other())


def test_an_error_of_the_source_arrives_as_its_own(workshop: Workshop):
    class Broken(SaidSource):
        def arrow(self, known_at):
            yield "equity_prices", iter(self)

        def __iter__(self):
            raise PlatformError("prices.csv is missing")

    class Crashing(SaidSource):
        def dlt_source(self, first, last, known_at):
            import dlt

            def tables():
                yield from ()
                raise ZeroDivisionError("oops")

            return dlt.source(lambda: dlt.resource(tables, name="equity_prices"), name="said")()

    with pytest.raises(PlatformError, match=r"prices\.csv is missing"):
        workshop.load(source=Broken())
    with pytest.raises(PlatformError, match="source 'said' failed: ZeroDivisionError: oops"):
        workshop.load(source=Crashing())
    workshop.load(bar())


def test_dlt_leaves_the_environment_and_the_user_s_home_alone(
    workshop: Workshop, monkeypatch, tmp_path
):
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    monkeypatch.setenv("RUNTIME__LOG_LEVEL", "INFO")
    before = dict(os.environ)
    workshop.load(bar(), last=MONDAY + timedelta(days=1))
    assert dict(os.environ) == before
    assert not (tmp_path / "user" / ".dlt" / ".anonymous_id").exists()
