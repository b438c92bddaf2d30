"""Settings: defaults, the file, the environment, and errors that help."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from vmoodle.errors import InvalidInput
from vmoodle.settings import Settings
from vmoodle.settings_file import documented_toml, load_settings


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "vmoodle.toml"
    path.write_text(text)
    return path


def test_without_a_file_all_defaults_hold(tmp_path: Path) -> None:
    assert load_settings(tmp_path / "absent.toml", {}) == Settings()


def test_the_environment_overrides_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, '[sites]\ntable_prefix = "a_"\n')
    assert load_settings(path, {}).sites.table_prefix == "a_"
    overridden = load_settings(path, {"VMOODLE_SITES__TABLE_PREFIX": "b_"})
    assert overridden.sites.table_prefix == "b_"


def test_an_unknown_key_names_the_nearest_known_one(tmp_path: Path) -> None:
    path = write(tmp_path, '[sites]\ntabel_prefix = "a_"\n')
    with pytest.raises(InvalidInput) as caught:
        load_settings(path, {})
    assert caught.value.code == "settings.unknown"
    assert "sites.table_prefix" in caught.value.hint


def test_an_unknown_section_names_the_nearest_known_one(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        load_settings(write(tmp_path, "[operatoins]\n"), {})
    assert "operations" in caught.value.hint


def test_an_unknown_environment_option_is_an_error_too(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        load_settings(tmp_path / "absent", {"VMOODLE_SITES__LANGAUGE": "fr"})
    assert "sites.language" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("sites = [", "settings.syntax"),
        ('[sites]\ntable_prefix = "much_too_long_"', "settings.value"),
        ('[operations]\nconcurrency = "many"', "settings.value"),
        ("[sites]\ntable_prefix = 1", "settings.value"),
    ],
)
def test_a_bad_file_is_a_clear_error(tmp_path: Path, text: str, code: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        load_settings(write(tmp_path, text), {})
    assert caught.value.code == code


def test_the_documented_file_holds_every_option_and_loads(tmp_path: Path) -> None:
    text = documented_toml()
    for section, field in Settings.model_fields.items():
        assert f"[{section}]" in text
        for option in field.annotation.model_fields:
            assert f"#{option} = " in text
    uncommented = "\n".join(
        line.removeprefix("#") if not line.startswith("# ") else "" for line in text.splitlines()
    )
    tomllib.loads(uncommented)
    path = write(tmp_path, uncommented)
    assert load_settings(path, {}) == Settings()


def test_a_password_in_the_registry_url_is_never_shown(tmp_path: Path) -> None:
    path = write(tmp_path, '[registry]\nurl = "postgresql://u:planted-password@h/d"\n')
    settings = load_settings(path, {})
    assert "planted-password" not in repr(settings)
    assert "planted-password" not in str(settings)
    assert settings.registry.url.reveal().endswith("@h/d")
