"""The one typed settings object: every `STOCK_PLATFORM_*` variable is a field here.

What does not belong here: anything a user edits as data (the universe, the files source's column
mapping) and anything that only one function decides.
"""

from __future__ import annotations

import os
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from stock_platform.errors import PlatformError

PROJECT_ROOT = Path(__file__).resolve().parent.parent
PREFIX = "STOCK_PLATFORM_"

Port = Annotated[int, Field(ge=1, le=65535)]


class SettingsError(PlatformError):
    """A setting is unknown or has an unusable value; the message names it and the mend."""


class Settings(BaseSettings):
    """All settings, from the environment and from `.env` in the project root; the former wins."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=PROJECT_ROOT / ".env",
        extra="ignore",
        frozen=True,
    )

    environment: Literal["local", "production"] = "local"
    """`local` runs embedded services; `production` refuses to start any and demands their URLs."""

    home: Path = PROJECT_ROOT / ".stock-platform"
    """Everything the embedded runtime keeps: lake, catalog, warehouse, registry, Dagster's own."""

    lake_url: str = ""
    """Root of the lake: a directory, `file://` or `s3://bucket/prefix`. Empty: `HOME/lake`."""

    catalog_uri: str = ""
    """The Iceberg catalog: a SQLAlchemy URI, `glue://?region=...`, or `rest+https://host/path`
    (lake/catalog_uri.py has every form). Empty: SQLite in `HOME/catalog.db`."""

    s3_endpoint_url: str = ""
    """Endpoint of an S3 server other than AWS, for example `http://minio:9000`."""
    s3_region: str = "us-east-1"
    s3_access_key_id: str = ""
    s3_secret_access_key: SecretStr = SecretStr("")

    clickhouse_url: str = ""
    """`http(s)://host:port` of a ClickHouse server. Empty: the local warehouse server."""
    clickhouse_user: str = "default"
    clickhouse_password: SecretStr = SecretStr("")
    """Empty with the local server: the password generated on its first start is used."""
    warehouse_host: str = "127.0.0.1"
    warehouse_port: Port = 18123
    """Address of the local warehouse server."""

    mlflow_tracking_uri: str = ""
    """MLflow tracking server or database. Empty: SQLite in `HOME/mlflow.db`."""

    dagster_port: Port = 3000
    mlflow_port: Port = 5000
    docs_port: Port = 3001
    pages_port: Port = 8501
    superset_port: Port = 8088
    """Ports of the pages that `make up` serves on loopback."""

    superset_url: str = ""
    """A Superset served elsewhere (docker/compose.yaml). Empty: the local one, if installed."""
    superset_password: SecretStr = SecretStr("")
    """Of its user `admin`. Empty with the local one: the generated password is used."""

    source: str = "sample"
    """The source whose data the warehouse and the forecasts describe."""
    universe: Path | None = None
    """YAML file of instruments. Without it `sample`, `files` and `simulated` describe their own;
    `yahoo` and `cbr` read the packaged `stock_platform/universe.yaml`."""

    yahoo_url: str = ""
    """Base URL asked instead of every host of Yahoo Finance: a caching proxy or a test server."""
    yahoo_requests_per_minute: Annotated[int, Field(ge=1)] = 120
    cbr_url: str = "https://www.cbr.ru"
    """Base URL of the Central Bank of Russia, or of a mirror."""
    refetch_sessions: Annotated[int, Field(ge=0)] = 10
    """How many of the newest sessions a live source asks for again in every load."""
    max_outage_share: Annotated[float, Field(ge=0, le=1)] = 0.05
    """A load with a greater share of expected bars missing because of an outage blocks what is
    downstream; what did arrive is kept."""
    revision_alert: Annotated[float, Field(gt=0)] = 0.01
    """A restated close that moved by more than this share raises a warning."""

    files_path: Path | None = None
    """Folder of the `files` source; it holds `files.yaml` (column mapping) beside the data."""

    simulated_instruments: Annotated[int, Field(ge=1)] = 8
    simulated_start: str = "2015-01-01"
    simulated_years: Annotated[int, Field(ge=1, le=60)] = 6
    simulated_seed: int = 7
    """The `simulated` source: number of instruments, first session, length, random seed."""

    backtest_weeks: Annotated[int, Field(ge=1)] = 260
    """How many of the last weeks of a source `stock-platform run` forecasts."""

    @field_validator("source")
    @classmethod
    def _known_source(cls, value: str) -> str:
        """A source is a module of `stock_platform/sources`."""
        from stock_platform.sources import active_names

        if value not in active_names():
            raise ValueError(f"no such source: use one of {', '.join(active_names())}")
        return value

    @field_validator("home", "universe", "files_path", mode="before")
    @classmethod
    def _absolute(cls, value: object, info: ValidationInfo) -> object:
        """A relative path is of the project's folder, whichever folder a process runs in."""
        if value in (None, ""):
            return cls.model_fields[str(info.field_name)].default
        return (PROJECT_ROOT / Path(str(value)).expanduser()).resolve()

    @property
    def lake_root(self) -> str:
        """Absolute directory or `s3://` URL of the lake, without a trailing slash."""
        url = self.lake_url or str(self.home / "lake")
        if url.startswith("s3://"):
            return url.rstrip("/")
        return str(Path(url.removeprefix("file://")).expanduser().resolve())

    @property
    def catalog(self) -> str:
        """Address of the Iceberg catalog."""
        return self.catalog_uri or f"sqlite:///{self.home / 'catalog.db'}"

    @property
    def mlflow_tracking(self) -> str:
        """Tracking and registry URI of MLflow."""
        return self.mlflow_tracking_uri or f"sqlite:///{self.home / 'mlflow.db'}"

    @property
    def embedded_warehouse(self) -> bool:
        """True when the warehouse is the local server rather than a ClickHouse by URL."""
        return not self.clickhouse_url


def load_settings() -> Settings:
    """Read the settings.

    Raises:
        SettingsError: a variable with our prefix is unknown, or a value is unusable.
    """
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    for name in sorted(set(os.environ) | _dotenv_names()):
        if name.upper().startswith(PREFIX) and name.upper() not in known:
            ours = [field.upper() for field in Settings.model_fields]
            near = get_close_matches(name.upper().removeprefix(PREFIX), ours, n=1)
            hint = f"did you mean {PREFIX}{near[0]}?" if near else "see .env.example for every name"
            raise SettingsError(f"unknown setting {name}: {hint}")
    try:
        return Settings()
    except ValidationError as error:
        problems = "; ".join(
            f"{PREFIX}{str(e['loc'][0]).upper()}={e['input']!r}: "
            f"{e['msg'].removeprefix('Value error, ')}"
            for e in error.errors()
        )
        raise SettingsError(f"unusable setting: {problems} (see .env.example)") from None


def _dotenv_names() -> set[str]:
    from dotenv import dotenv_values

    path = PROJECT_ROOT / ".env"
    return set(dotenv_values(path)) if path.exists() else set()
