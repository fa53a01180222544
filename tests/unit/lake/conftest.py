"""A fresh lake per test."""

from pathlib import Path

import pytest

from tests.support.lake import Workshop


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path / "home")
