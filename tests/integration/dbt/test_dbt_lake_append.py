"""Staging reads each object of the lake once, whole, or says what is wrong with it."""

from datetime import date, timedelta

import polars as pl
import pytest

from tests.support.dbt_project import Project, bar, content, frame, put, put_all, write

DAY = date(2020, 1, 2)
TABLE = "stg_equity_prices"


def load(project: Project) -> dict[str, str]:
    return project.dbt("run", "--select", TABLE)[1]


def closes(project: Project) -> list[tuple[object, ...]]:
    return project.rows(
        f"SELECT instrument_id, session, close, object_path FROM {TABLE} ORDER BY ALL"
    )


def test_appends_only_objects_it_has_not_read(project: Project) -> None:
    put(project, frame([bar(DAY), bar(DAY, "B", 20.5)]), DAY)
    assert load(project) == {}
    first = "raw/unit/equity_prices/2020/01/02/data.parquet"
    assert closes(project) == [("A", DAY, 10.0, first), ("B", DAY, 20.5, first)]

    parts = "SELECT table, name, modification_time FROM system.parts WHERE database = 'unit'"
    before = project.rows(parts)
    assert load(project) == {}
    assert project.rows(parts) == before, "nothing unread, yet something was written"

    put(project, frame([bar(DAY, "A", 11.0)]), DAY, name="rev-20260101T000000000000Z")
    assert load(project) == {}
    assert [row[2] for row in closes(project)] == [10.0, 11.0, 20.5]
    assert project.value(f"EXISTS TABLE {TABLE}__load") == 0


def test_many_objects_come_by_glob_and_only_the_listed_ones(project: Project) -> None:
    days = [DAY + timedelta(days=n) for n in range(250)]
    put_all(project, {day: frame([bar(day), bar(day, "B")]) for day in days})
    write(project, frame([bar(DAY, "C")]), DAY, name="rev-20260101T000000000000Z")
    assert load(project) == {}
    assert project.rows(
        f"SELECT count(), uniqExact(object_path), countIf(instrument_id = 'C') FROM {TABLE}"
    ) == [(500, 250, 0)]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda rows: rows.with_columns(close=pl.lit("n/a")), "lacks column close DOUBLE"),
        (lambda rows: rows.with_columns(close=pl.lit(30, pl.Int64)), "lacks column close DOUBLE"),
        (lambda rows: rows.drop("volume"), "lacks column volume DOUBLE"),
        (
            lambda rows: rows.with_columns(pl.col("known_at").dt.cast_time_unit("ms")),
            "lacks column known_at",
        ),
        (lambda rows: rows.with_columns(close=pl.lit(None, pl.Float64)), "NULL"),
    ],
    ids=["text", "integer", "missing", "milliseconds", "null"],
)  # fmt: skip
def test_refuses_an_object_of_other_types_and_names_it(project: Project, change, said) -> None:
    put(project, frame([bar(DAY)]), DAY)
    assert load(project) == {}
    before = content(project.client, project.database, [TABLE])
    path = put(project, change(frame([bar(DAY + timedelta(1))])), DAY + timedelta(1))
    problem = load(project)[TABLE]
    assert said in problem
    assert str(path) in problem
    assert content(project.client, project.database, [TABLE]) == before


def test_refuses_an_object_with_other_rows_than_the_catalog_says(project: Project) -> None:
    path = put(project, frame([bar(DAY), bar(DAY, "B")]), DAY, listed_rows=3)
    problem = load(project)[TABLE]
    assert f"{path} has 2 rows where the catalog says 3" in problem
    assert project.value(f"SELECT count() FROM {TABLE}") == 0


@pytest.mark.parametrize("others", [1, 250], ids=["by name", "by glob"])
def test_refuses_a_missing_object(project: Project, others: int) -> None:
    days = [DAY + timedelta(days=n) for n in range(others)]
    put_all(project, {day: frame([bar(day)]) for day in days})
    path = put(project, frame([bar(DAY, "B")]), DAY, name="rev-20260101T000000000000Z")
    path.unlink()
    assert f"{path} is missing or empty" in load(project)[TABLE]


def test_refuses_a_truncated_object(project: Project) -> None:
    path = put(project, frame([bar(DAY)]), DAY)
    path.write_bytes(path.read_bytes()[:-20])
    assert str(path) in load(project)[TABLE]
    assert project.value(f"SELECT count() FROM {TABLE}") == 0


def test_a_killed_load_leaves_nothing_behind(project: Project) -> None:
    put(project, frame([bar(DAY)]), DAY)
    assert load(project) == {}
    # As a kill inside the insert leaves it: a side table with a part of the rows.
    project.client.command(f"CREATE TABLE {TABLE}__load AS {TABLE}")
    project.client.command(f"INSERT INTO {TABLE}__load SELECT * FROM {TABLE}")
    put(project, frame([bar(DAY + timedelta(1)), bar(DAY + timedelta(1), "B")]), DAY + timedelta(1))
    assert load(project) == {}
    assert project.value(f"SELECT count() FROM {TABLE}") == 3
    assert project.value(f"EXISTS TABLE {TABLE}__load") == 0


def test_an_object_read_by_half_is_repaired(project: Project) -> None:
    put(project, frame([bar(DAY), bar(DAY, "B")]), DAY)
    put(project, frame([bar(DAY + timedelta(1))]), DAY + timedelta(1))
    assert load(project) == {}
    whole = content(project.client, project.database, [TABLE])
    project.client.command(f"DELETE FROM {TABLE} WHERE instrument_id = 'B'")
    assert content(project.client, project.database, [TABLE]) != whole
    assert load(project) == {}
    assert content(project.client, project.database, [TABLE]) == whole


def test_rows_of_another_lake_are_replaced_but_never_by_nothing(project: Project) -> None:
    put(project, frame([bar(DAY)]), DAY)
    assert load(project) == {}
    project.client.command("TRUNCATE TABLE lake_objects")
    assert "lists no object of equity_prices" in load(project)[TABLE]
    assert project.value(f"SELECT count() FROM {TABLE}") == 1
    other = DAY + timedelta(days=7)
    put(project, frame([bar(other, "Z")]), other)
    assert load(project) == {}
    assert [row[:2] for row in closes(project)] == [("Z", other)]


def test_reads_s3(project: Project) -> None:
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    try:
        host, port = server.get_host_and_port()
        endpoint = f"http://{host}:{port}"
        secret = "a-secret-nobody-may-log"
        s3 = boto3.client(
            "s3", endpoint_url=endpoint, region_name="us-east-1",
            aws_access_key_id="key", aws_secret_access_key=secret,
        )  # fmt: skip
        s3.create_bucket(Bucket="market")
        days = [DAY + timedelta(days=n) for n in range(3)]
        listed = []
        for day in days:
            path = put(project, frame([bar(day), bar(day, "B")]), day)
            key = "lake/" + str(path).removeprefix(project.lake_root + "/")
            s3.put_object(Bucket="market", Key=key, Body=path.read_bytes())
            listed.append(
                ["equity_prices", f"s3://market/{key}", "unit", day, 2, path.stat().st_size]
            )
        project.client.command("TRUNCATE TABLE lake_objects")
        project.client.insert("lake_objects", listed)
        project.lake_root = "s3://market/lake"
        project.variables |= {
            "DBT_S3_ENDPOINT": endpoint, "DBT_S3_KEY": "key", "DBT_S3_SECRET": secret,
            "DBT_ENV_SECRET_S3": secret,
        }  # fmt: skip
        assert load(project) == {}
        assert project.rows(f"SELECT count(), uniqExact(object_path) FROM {TABLE}") == [(6, 3)]
        assert closes(project)[0][3] == "raw/unit/equity_prices/2020/01/02/data.parquet"
        for file in project.target.rglob("*"):
            if file.is_file():
                assert secret.encode() not in file.read_bytes(), file
    finally:
        server.stop()
