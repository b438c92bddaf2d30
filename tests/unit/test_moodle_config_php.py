"""The config.php of a tree: whose it is, and that a foreign one is never lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from vmoodle.errors import InvalidInput, Refused
from vmoodle.moodle.code import config_php

FOREIGN_CONTENT = "<?php $CFG->dbpass = 'theirs';\n"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "config.php"


def test_no_config_php_is_absent(config: Path) -> None:
    assert config_php.classify(config) == config_php.ABSENT


def test_a_config_php_with_the_marker_is_ours(config: Path) -> None:
    config.write_text(f"<?php\n// {config_php.VMOODLE_MARKER}.\n", encoding="utf-8")

    assert config_php.classify(config) == config_php.OURS


@pytest.mark.parametrize(
    "content",
    [
        FOREIGN_CONTENT,
        "",
        f"{config_php.VMOODLE_MARKER}",
        "<?php\n" + "//\n" * 5000 + f"// {config_php.VMOODLE_MARKER}\n",
    ],
)
def test_any_other_config_php_is_foreign(config: Path, content: str) -> None:
    config.write_text(content, encoding="utf-8")

    assert config_php.classify(config) == config_php.FOREIGN


def test_a_link_is_foreign_even_when_it_leads_to_ours_or_nowhere(config: Path) -> None:
    config.symlink_to(config.with_name("nowhere.php"))

    assert config_php.classify(config) == config_php.FOREIGN


def test_a_directory_in_its_place_is_refused(config: Path) -> None:
    config.mkdir()

    with pytest.raises(InvalidInput):
        config_php.classify(config)


def test_a_foreign_config_php_is_set_aside_and_put_back_unchanged(config: Path) -> None:
    config.write_text(FOREIGN_CONTENT, encoding="utf-8")
    config.chmod(0o640)

    aside = config_php.set_aside(config)

    assert not config.exists()
    config_php.put_back(aside, config)
    assert config.read_text(encoding="utf-8") == FOREIGN_CONTENT
    assert config.stat().st_mode & 0o777 == 0o640
    assert not aside.exists()


def test_what_was_set_aside_earlier_is_never_overwritten(config: Path) -> None:
    asides = []
    for content in ("one", "two", "three"):
        config.write_text(content, encoding="utf-8")
        asides.append(config_php.set_aside(config))

    assert [aside.read_text(encoding="utf-8") for aside in asides] == ["one", "two", "three"]


def test_a_link_is_set_aside_as_a_link(config: Path) -> None:
    target = config.with_name("elsewhere.php")
    target.write_text(FOREIGN_CONTENT, encoding="utf-8")
    config.symlink_to(target)

    aside = config_php.set_aside(config)

    assert aside.is_symlink() and target.exists() and not config.is_symlink()


def test_a_web_server_would_run_what_is_set_aside_and_not_show_it(config: Path) -> None:
    config.write_text(FOREIGN_CONTENT, encoding="utf-8")

    assert config_php.set_aside(config).suffix == ".php"


def test_nothing_is_put_back_over_another_config_php(config: Path) -> None:
    config.write_text(FOREIGN_CONTENT, encoding="utf-8")
    aside = config_php.set_aside(config)
    config.write_text("other", encoding="utf-8")

    with pytest.raises(Refused) as caught:
        config_php.put_back(aside, config)

    assert caught.value.code == "codebase.config.exists"
    assert config.read_text(encoding="utf-8") == "other"
    assert aside.read_text(encoding="utf-8") == FOREIGN_CONTENT
