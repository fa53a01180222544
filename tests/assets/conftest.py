"""A finished `stock-platform run` on the packaged sample, shared by the tests of the graph."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.platform import Platform


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """The platform after one undisturbed run with the default settings."""
    platform = Platform(Path(tmp_path_factory.mktemp("sample")))
    first = platform.run()
    (platform.home / "first_run.txt").write_text(first.stdout)
    yield platform
    platform.down()
