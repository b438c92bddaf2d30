"""What holds for every command of the `vmoodle` program."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import typer

import vmoodle.cli
from vmoodle.cli.main import app


def commands() -> Iterator[tuple[str, click.Command]]:
    """Yield every command of the program by its words."""

    def below(
        words: tuple[str, ...], command: click.Command
    ) -> Iterator[tuple[str, click.Command]]:
        inner = getattr(command, "commands", None)
        if inner is None:
            yield " ".join(words), command
            return
        for name, one in inner.items():
            yield from below((*words, name), one)

    yield from below((), typer.main.get_command(app))


def test_every_command_takes_json() -> None:
    found = dict(commands())
    assert {"site list", "exec", "demo", "operation cancel"} <= set(found)
    without = [
        words
        for words, command in found.items()
        if not any("--json" in parameter.opts for parameter in command.params)
    ]
    assert without == []


def test_no_command_asks_the_registrys_tables_itself() -> None:
    for path in Path(vmoodle.cli.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            assert not (isinstance(node, ast.Attribute) and node.attr == "objects"), path.name


def run(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the program as it is installed; `home` is in the environment."""
    code = "from vmoodle.cli.main import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    "words",
    [
        ("site", "create", "one", "--json"),
        ("site", "list", "--nosuch", "--json"),
        ("nosuch", "--json"),
        ("site", "--json"),
        ("operation", "list", "--limit", "none", "--json"),
    ],
)
def test_a_usage_error_is_a_problem_document_where_json_is_asked_for(
    home: Path, words: tuple[str, ...]
) -> None:
    ended = run(home, *words)
    problem = json.loads(ended.stderr)
    assert (ended.returncode, problem["code"], problem["status"]) == (2, "usage", 422)
    assert problem["detail"] and "--help" in problem["hint"]
    assert ended.stdout == ""


def test_a_usage_error_is_text_otherwise(home: Path) -> None:
    ended = run(home, "site", "create", "one")
    assert ended.returncode == 2
    assert "Usage: " in ended.stderr and "--url" in ended.stderr


def test_help_and_version_end_well(home: Path) -> None:
    for words in (("--help",), ("--version",), ("site", "create", "--help")):
        ended = run(home, *words)
        assert (ended.returncode, ended.stderr) == (0, "")
        assert ended.stdout


def test_a_scripts_own_json_flag_is_not_ours(home: Path) -> None:
    ended = run(home, "exec", "nosuch", "--", "admin/cli/cron.php", "--json")
    assert ended.returncode == 3
    assert ended.stderr.startswith("error: ")
    ended = run(home, "exec", "nosuch", "--json", "--", "admin/cli/cron.php")
    assert json.loads(ended.stderr)["code"] == "site.unknown"
