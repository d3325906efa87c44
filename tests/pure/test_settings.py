"""A setting that cannot be used is named, with what was found and what was expected."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.settings import Settings, SettingsError, load
from tools import settings_table


def test_the_page_of_settings_is_the_one_the_code_makes() -> None:
    assert settings_table.PAGE.read_text() == settings_table.page(), "run `make schemas`"


def test_every_setting_says_what_it_is_for() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_a_wrong_value_is_named_with_what_was_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VBPR_PORT", "eighty")
    with pytest.raises(SettingsError, match=r"VBPR_PORT: .*integer.* \(found 'eighty'\)"):
        load()


def test_every_wrong_value_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VBPR_PORT", "99999")
    monkeypatch.setenv("VBPR_WORKERS", "0")
    with pytest.raises(SettingsError) as caught:
        load()
    assert [line.partition(":")[0] for line in str(caught.value).splitlines()] == [
        "VBPR_PORT",
        "VBPR_WORKERS",
    ]


def test_a_secret_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VBPR_PUBLISHER_DATABASE_URL", "postgresql+asyncpg://u:s3cret@host/db")
    assert "s3cret" not in repr(load())


def test_without_authentication_only_loopback_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match=r"VBPR_HOST is 0\.0\.0\.0, but no authentication is configured"):
        load(host="0.0.0.0")
    assert load(host="0.0.0.0", trusted_network=True).host == "0.0.0.0"


def test_a_file_is_read_and_variables_go_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "vbpr.toml"
    file.write_text("port = 9000\nworkers = 3\n")
    monkeypatch.setenv("VBPR_CONFIG", str(file))
    monkeypatch.setenv("VBPR_WORKERS", "5")
    found = load()
    assert (found.port, found.workers) == (9000, 5)


def test_a_file_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VBPR_CONFIG", "/nowhere/vbpr.toml")
    with pytest.raises(SettingsError, match=r"VBPR_CONFIG names /nowhere/vbpr\.toml, which is not a file"):
        load()
