"""Questions to the person at the terminal, answered by what is typed after they are read."""

from __future__ import annotations

import sys
import termios

import typer


def ask(question: str) -> str:
    """Ask on stderr, and return what was typed; what was typed before the question is dropped."""
    _drop_type_ahead()
    return str(typer.prompt(question, err=True))


def ask_whether(question: str) -> bool:
    """Ask what is answered by yes or no, as `ask`."""
    _drop_type_ahead()
    return typer.confirm(question, err=True)


def ask_to_change(count: int, verb: str = "change", changed: str = "changed") -> str:
    """Ask for the number of the sites that would be changed, as `ask`."""
    sites, them = ("1 site", "it") if count == 1 else (f"{count} sites", "them")
    return ask(f"{sites} would be {changed}. Type {count} to {verb} {them}")


def _drop_type_ahead() -> None:
    if sys.stdin.isatty():
        termios.tcflush(sys.stdin, termios.TCIFLUSH)
