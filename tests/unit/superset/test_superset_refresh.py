"""What a refresh says where there is no Superset, one that is not served, and one that is down."""

import fcntl
import os
from pathlib import Path

import pytest

from stock_platform.errors import PlatformError
from stock_platform.settings import Settings
from stock_platform.superset import refresh as refreshing
from stock_platform.superset import service
from stock_platform.superset.bundle import AssetError
from tests.support.platform import free_port


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, superset_port=free_port())


@pytest.fixture
def installed(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A Superset that was set up before; the list grows with each time assets are applied."""
    applied: list[int] = []

    def apply(*_: object) -> service.Applied:
        applied.append(1)
        return service.Applied({"charts": 1}, {}, [])

    monkeypatch.setattr(service, "is_installed", lambda: True)
    monkeypatch.setattr(service, "apply", apply)
    service.credentials(settings)
    service.database(settings).touch()
    return applied


def test_none_is_set_up(settings: Settings) -> None:
    done = refreshing.refresh(settings)
    assert (done.state, done.counts) == (refreshing.NOT_SET_UP, {})


def test_wrong_assets_are_an_error_without_superset_too(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise AssetError("charts/x.yaml, params.x_axis: no column")

    monkeypatch.setattr(refreshing, "load", broken)
    with pytest.raises(AssetError, match=r"charts/x.yaml"):
        refreshing.refresh(settings)


def test_not_served_is_said(settings: Settings, installed: list[int]) -> None:
    assert refreshing.refresh(settings).state == refreshing.NOT_SERVED
    assert installed == [1]


def test_served_and_silent_is_an_outage(settings: Settings, installed: list[int]) -> None:
    """The lock of a living server is held, and nothing answers."""
    held = os.open(service.folder(settings) / "server.lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(held, fcntl.LOCK_EX)
    try:
        with pytest.raises(PlatformError, match="does not answer"):
            refreshing.refresh(settings)
    finally:
        os.close(held)
    assert refreshing.refresh(settings).state == refreshing.NOT_SERVED


def test_another_ones_address_must_answer(settings: Settings) -> None:
    elsewhere = settings.model_copy(update={"superset_url": f"http://127.0.0.1:{free_port()}"})
    with pytest.raises(PlatformError, match="does not answer"):
        refreshing.refresh(elsewhere)


def test_passwords_are_kept_for_the_owner_alone(settings: Settings) -> None:
    made = service.credentials(settings)
    file = service.credentials_file(settings)
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert service.credentials(settings) == made
    file.write_text("{}")
    with pytest.raises(PlatformError, match="is damaged: delete it"):
        service.credentials(settings)
