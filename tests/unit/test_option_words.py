"""Options are named by the command line alone: what the core says is so for every surface."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import typer
from tests.fleet import Fleet
from tests.published_sites import make_site

import vmoodle
from vmoodle.cli import option_words
from vmoodle.cli.main import app
from vmoodle.cli.times import moment_since, seconds_of
from vmoodle.errors import InvalidInput
from vmoodle.installation import Installation

OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
# What knows Moodle, an engine or a store knows no surface.
BELOW = ("engines", "hook", "moodle", "store")
NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Give the prose of a module that is no docstring: what has a space."""
    tree = ast.parse(path.read_text())
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or id(node) in docs:
            continue
        if isinstance(node.value, str) and " " in node.value.strip():
            yield node.lineno, node.value


def test_what_stands_below_names_no_option_but_those_of_moodles_own_scripts() -> None:
    package = Path(vmoodle.__file__).parent
    named = [
        f"{path.relative_to(package)}:{line}: {text}"
        for folder in BELOW
        for path in sorted((package / folder).rglob("*.py"))
        for line, text in texts(path)
        if OPTION.search(text) and "admin/cli/" not in text
    ]
    assert named == []


def call(words: str) -> Any:
    """Return the command of the program that these words call."""
    found: Any = typer.main.get_command(app)
    for word in words.split():
        found = found.commands[word]
    return found


def test_each_option_that_a_hint_names_is_one_of_the_call() -> None:
    for code, hints in option_words._OPTIONS.items():
        for words, sentence in hints.items():
            assert sentence.endswith("."), code
            if words:
                known = {option for one in call(words).params for option in one.opts}
                assert set(OPTION.findall(sentence)) <= known, code


def test_an_error_about_a_parameter_names_the_option_of_the_call(
    installation: Installation, home: Path
) -> None:
    make_site(installation, "one")
    fleet = Fleet(home)
    for words, said in (
        (("plugin", "compare", "--what", "color"), "--what is not usable: it should be 'enabled'"),
        (("sql", "SELECT 1", "--dialect", "oracle"), "--dialect is not usable: it should be 'mar"),
        (("maintenance", "on", "--at", "22:00", "--in", "5"), "--at and --in exclude each other."),
        (("command", "run", "plugin.compare", "--what", "x"), "--what is not usable"),
    ):
        assert fleet.problem(*words, "--on", "*")["detail"].startswith(said)
    hint = fleet.problem("role", "capability", "student", "mod/quiz:view", "--on", "*")["hint"]
    assert hint == "Give --allow, --prevent, --prohibit or --inherit, or --from SITE."
    sync = fleet.problem("role", "sync", "student", "--on", "*")
    assert sync["hint"] == "--from SITE, or --file FILE"


def test_another_surface_is_told_the_parameters_own_names() -> None:
    from vmoodle.fleet.command_sets import find
    from vmoodle.fleet.parameters import given

    with pytest.raises(InvalidInput, match=r"^what is not usable"):
        given(find("plugin.compare").model, {"what": "color"})
    with pytest.raises(InvalidInput, match=r"^at and minutes exclude each other"):
        given(find("maintenance.on").model, {"at": "22:00", "minutes": 5})


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2h", NOW - timedelta(hours=2)),
        (" 1.5d ", NOW - timedelta(days=1.5)),
        ("2026-11-01", datetime(2026, 11, 1, tzinfo=UTC)),
        ("2026-11-01 14:00", datetime(2026, 11, 1, 14, tzinfo=UTC)),
        ("2026-11-01T14:00+02:00", datetime(2026, 11, 1, 12, tzinfo=UTC)),
    ],
)
def test_since_is_so_long_ago_or_a_moment(text: str, moment: datetime) -> None:
    assert moment_since(text, NOW) == moment


@pytest.mark.parametrize("text", ["yesterday", "7", "2026-13-01", "9" * 20 + "d", "-2h", ""])
def test_since_is_no_other_text(text: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        moment_since(text, NOW)
    assert raised.value.code == "run.since"
    assert seconds_of("90", unit="m") == 5400
