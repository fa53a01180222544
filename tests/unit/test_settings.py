"""What a wrong setting is told."""

import pytest

from stock_platform.settings import SettingsError, load_settings


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("STOCK_PLATFORM_X", r"unknown setting STOCK_PLATFORM_X: see \.env\.example"),
        ("STOCK_PLATFORM_DEBUG", r"unknown setting STOCK_PLATFORM_DEBUG: see \.env\.example"),
        ("STOCK_PLATFORM_SORCE", "did you mean STOCK_PLATFORM_SOURCE"),
        ("STOCK_PLATFORM_CLICKHOUSE_URI", "did you mean STOCK_PLATFORM_CLICKHOUSE_URL"),
        ("stock_platform_hom", "did you mean STOCK_PLATFORM_HOME"),
    ],
)
def test_an_unknown_name_gets_a_hint_only_when_one_is_near(
    monkeypatch: pytest.MonkeyPatch, name: str, said: str
) -> None:
    monkeypatch.setenv(name, "1")
    with pytest.raises(SettingsError, match=said):
        load_settings()


def test_an_unusable_value_is_told_without_the_library_s_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("STOCK_PLATFORM_SOURCE", "bloomberg")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    expected = "unusable setting: STOCK_PLATFORM_SOURCE='bloomberg': no such source: use one of "
    assert str(caught.value).startswith(expected)
