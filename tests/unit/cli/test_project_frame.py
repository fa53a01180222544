"""The rules of the frame that no other test would notice broken."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from stock_platform.settings import PREFIX, PROJECT_ROOT, Settings

BIN = Path(sys.executable).parent


def test_env_example_documents_every_setting_with_its_default() -> None:
    text = (PROJECT_ROOT / ".env.example").read_text()
    documented = dict(re.findall(rf"^# {PREFIX}(\w+)=(.*)$", text, re.MULTILINE))
    assert sorted(name.lower() for name in documented) == sorted(Settings.model_fields)
    for name, value in documented.items():
        default = Settings.model_fields[name.lower()].default
        if value and name != "HOME":  # its default is a full path
            assert value == str(default)


def test_constraints_name_versions_and_nothing_else() -> None:
    lines = (PROJECT_ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.!+_-]+", pin) for pin in pins)
    assert pins == sorted(pins, key=str.upper)
    assert len(pins) > 200


@pytest.mark.parametrize(
    ("folder", "line"),
    [
        ("sources", "import dagster as dg"),
        ("lake", "from dagster import asset"),
        ("warehouse", "import dagster_dbt"),
        ("ml", "def f() -> None:\n    import dagster"),
        ("sources", "import yfinance"),
        ("ml", "from sklearn.linear_model import LinearRegression"),
        ("defs", "import mlflow"),
        ("defs", "import pandas as pd"),
    ],
)
def test_the_linter_refuses_a_banned_import(folder: str, line: str) -> None:
    refused = _ruff(f"stock_platform/{folder}/planted.py", line)
    assert "TID25" in refused, refused


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("stock_platform/defs/planted.py", "import dagster as dg"),
        ("stock_platform/sources/planted.py", "def f() -> None:\n    import yfinance"),
    ],
)
def test_the_linter_accepts_the_wiring(path: str, line: str) -> None:
    assert "TID25" not in _ruff(path, line)


def _ruff(path: str, text: str) -> str:
    return subprocess.run(
        [BIN / "ruff", "check", "--no-cache", "--select", "TID", "--stdin-filename", path, "-"],
        cwd=PROJECT_ROOT,
        input=f"{text}\n",
        capture_output=True,
        text=True,
        check=False,
    ).stdout


def test_no_password_of_the_containers_has_a_default() -> None:
    text = (PROJECT_ROOT / "docker" / "compose.yaml").read_text()
    secrets = re.findall(r"\$\{(\w*PASSWORD)(:\?[^}]*)?\}", text)
    assert secrets
    assert all(mend for _, mend in secrets), "every password needs ${NAME:?message}"
    offered = (PROJECT_ROOT / "docker" / "env.example").read_text()
    assert all(f"\n{name}=\n" in offered for name, _ in secrets)


def test_the_containers_use_known_settings_and_existing_files() -> None:
    compose = yaml.safe_load((PROJECT_ROOT / "docker" / "compose.yaml").read_text())
    fields = {PREFIX + name.upper() for name in Settings.model_fields}
    for name, service in compose["services"].items():
        environment = service.get("environment", {})
        assert {key for key in environment if key.startswith(PREFIX)} <= fields
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (PROJECT_ROOT / "docker" / source).is_file(), (name, source)
            else:
                assert source in compose["volumes"]
        for address in service.get("ports", []):
            assert address.startswith("127.0.0.1:"), f"{name} publishes {address} to the network"


def test_the_image_copies_what_exists_and_is_not_ignored() -> None:
    text = (PROJECT_ROOT / "docker" / "platform.Dockerfile").read_text()
    copied = [
        word
        for line in re.findall(r"^COPY (?!--from)(.*)$", text, re.MULTILINE)
        for word in line.split()[:-1]
        if not word.startswith("--")
    ]
    assert {"pyproject.toml", "constraints.txt", "stock_platform", "dbt"} <= set(copied)
    ignore = (PROJECT_ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in ignore
    for path in copied:
        assert (PROJECT_ROOT / path).exists(), path
        assert f"!{path.split('/')[0]}" in ignore, path


def test_the_instances_agree_where_they_mean_the_same() -> None:
    local = yaml.safe_load((PROJECT_ROOT / "dagster.yaml").read_text())
    containers = yaml.safe_load((PROJECT_ROOT / "docker" / "dagster.yaml").read_text())
    for section in ("run_monitoring", "run_retries", "retention", "telemetry", "nux"):
        assert local[section] == containers[section]
    assert local["concurrency"]["pools"] == containers["concurrency"]["pools"]
