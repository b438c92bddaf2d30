"""What holds for every command of the `vmoodle` program."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import click
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
