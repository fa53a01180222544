"""The doctor's findings, one thing broken at a time."""

import socket
import sqlite3
from pathlib import Path

import pytest

from stock_platform.cli import checks, checks_settings, doctor
from stock_platform.cli.up import Claim, check_ports
from stock_platform.errors import PlatformError
from stock_platform.settings import Settings
from tests.support.platform import free_port


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        home=tmp_path / "home",
        dagster_port=free_port(),
        mlflow_port=free_port(),
        docs_port=free_port(),
        pages_port=free_port(),
        warehouse_port=free_port(),
    )


def states(found: list[checks.Check]) -> dict[str, str]:
    return {check.name: check.state for check in found}


def everything(settings: Settings) -> dict[str, str]:
    looks = (
        checks_settings.source,
        checks_settings.home,
        checks_settings.lake,
        checks_settings.databases,
        checks_settings.warehouse,
        checks_settings.services,
    )
    return states([check for look in looks for check in look(settings)])


def test_a_fresh_home_is_healthy_and_stays_untouched(settings: Settings) -> None:
    assert "fail" not in everything(settings).values()
    assert not settings.home.exists()


def test_a_home_that_is_a_file(settings: Settings) -> None:
    settings.home.write_text("")
    assert everything(settings)["home"] == "fail"


FILES_YAML = """\
files: bars.csv
columns: {symbol: s, date: d, open: p, high: p, low: p, close: p, volume: v}
basis: traded
currency: USD
calendar: XNYS
actions: {file: actions.csv}
"""
FILES = {
    "files.yaml": FILES_YAML,
    "bars.csv": "s,d,p,v\nA,2024-01-02,1,1\n",
    "actions.csv": "symbol,date,action,value\n",
}


@pytest.mark.parametrize(
    ("file", "content", "told"),
    [
        ("files.yaml", None, "files.yaml does not exist"),
        ("files.yaml", FILES_YAML.replace("basis", "bases"), "did you mean basis?"),
        (
            "files.yaml",
            FILES_YAML.replace("volume: v", "volume: size"),
            "bars.csv has no column 'size'",
        ),
        ("bars.csv", None, "matches bars.csv"),
        ("bars.csv", "", "bars.csv is empty"),
        ("actions.csv", None, "actions.csv does not exist"),
        ("actions.csv", "symbol,date\n", "actions.csv has no column 'action'"),
    ],
)
def test_a_folder_of_files_that_cannot_be_read(
    settings: Settings, tmp_path: Path, file: str, content: str | None, told: str
) -> None:
    """Each finding says what is wrong and where; the same folder whole is fine."""
    folder = tmp_path / "mine"
    folder.mkdir()
    for name, text in FILES.items():
        (folder / name).write_text(text)
    files = settings.model_copy(update={"source": "files", "files_path": folder})
    (found,) = checks_settings.source(files)
    assert (found.state, found.what) == ("ok", f"files: {folder}: 2 files, columns as named")
    if content is None:
        (folder / file).unlink()
    else:
        (folder / file).write_text(content)
    (found,) = checks_settings.source(files)
    assert found.state == "fail"
    assert told in found.what
    assert "STOCK_PLATFORM_SOURCE" in found.mend


def test_files_without_a_folder(settings: Settings, tmp_path: Path) -> None:
    files = settings.model_copy(update={"source": "files"})
    (found,) = checks_settings.source(files)
    assert (found.state, "STOCK_PLATFORM_FILES_PATH is not set" in found.what) == ("fail", True)
    nowhere = files.model_copy(update={"files_path": tmp_path / "nowhere"})
    (found,) = checks_settings.source(nowhere)
    assert (found.state, "does not exist" in found.what) == ("fail", True)


@pytest.mark.parametrize("name", ["sample", "simulated"])
def test_sources_that_need_nothing_are_fine(settings: Settings, name: str) -> None:
    (found,) = checks_settings.source(settings.model_copy(update={"source": name}))
    assert found.state == "ok", found
    assert found.what.startswith(f"{name}: ")


def test_the_report_holds_the_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STOCK_PLATFORM_SOURCE", "files")
    monkeypatch.delenv("STOCK_PLATFORM_FILES_PATH", raising=False)
    monkeypatch.setattr(checks, "code_location", lambda: checks.Check("code location", "ok", ""))
    found = doctor.report()
    (source,) = [check for check in found["checks"] if check["name"] == "source"]
    assert (source["state"], found["healthy"]) == ("fail", False)


def test_a_damaged_catalog(settings: Settings) -> None:
    settings.home.mkdir()
    (settings.home / "catalog.db").write_text("this is no database at all, and long enough")
    with sqlite3.connect(settings.home / "mlflow.db") as registry:
        registry.execute("CREATE TABLE runs (id TEXT)")
    found = everything(settings)
    assert (found["catalog"], found["mlflow"]) == ("fail", "ok")


def test_servers_that_do_not_answer(settings: Settings) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    elsewhere = settings.model_copy(
        update={
            "clickhouse_url": nowhere,
            "mlflow_tracking_uri": nowhere,
            "lake_url": "s3://nothing",
            "s3_endpoint_url": nowhere,
            "catalog_uri": f"postgresql+psycopg2://u:secret@127.0.0.1:{free_port()}/catalog",
        }
    )
    found = everything(elsewhere)
    assert [found[name] for name in ("warehouse", "mlflow", "lake", "catalog")] == ["fail"] * 4
    shown = str(list(checks_settings.databases(elsewhere)))
    assert "secret" not in shown + str(checks_settings.addresses(elsewhere))


def test_readable_passwords(settings: Settings) -> None:
    secret = settings.home / "warehouse" / "credentials.json"
    secret.parent.mkdir(parents=True)
    secret.write_text("{}")
    secret.chmod(0o644)
    assert everything(settings)["passwords"] == "fail"


def test_a_taken_port_is_named_with_its_setting(settings: Settings) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", settings.mlflow_port))
        other.listen()
        assert everything(settings)[f"port {settings.mlflow_port}"] == "fail"
        claim = Claim("127.0.0.1", settings.mlflow_port, "STOCK_PLATFORM_MLFLOW_PORT")
        with pytest.raises(PlatformError, match=rf"{claim.port}.*taken.*{claim.setting}"):
            check_ports([claim])


def test_two_services_on_one_port() -> None:
    port = free_port()
    with pytest.raises(PlatformError, match="A and B are both"):
        check_ports([Claim("127.0.0.1", port, "A"), Claim("127.0.0.1", port, "B")])


def test_packages_that_differ_from_the_pins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "PROJECT_ROOT", tmp_path)
    assert checks.pinned_versions().state == "warn"
    (tmp_path / "constraints.txt").write_text("# pins\nruff==0.0.1\nnot-installed==1\n")
    found = checks.pinned_versions()
    assert found.state == "warn"
    assert "instead of 0.0.1" in found.what


def test_an_unknown_setting_is_a_finding_and_not_a_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STOCK_PLATFORM_HOEM", "/tmp")
    monkeypatch.setattr(checks, "code_location", lambda: checks.Check("code location", "ok", ""))
    found = doctor.report()
    assert not found["healthy"]
    assert "STOCK_PLATFORM_HOME?" in found["checks"][0]["what"]
