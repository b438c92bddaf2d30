"""What the command line calls things that the core calls by their names: the one place for both.

Parameters are called by the options of the call, and what an option can do about an error is said
behind the error's own hint.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

# Typer carries its own Click and gives this function no other name.
from typer._click.globals import get_current_context

if TYPE_CHECKING:
    from vmoodle.fleet.parameter_words import Words
    from vmoodle.fleet.parameters import Parameters

# Parameters that calls have under another name. Of several the one that the call has.
_OTHERWISE = {
    "all": ("everything", "all_sites"),
    "create": ("no_create",),
    "document": ("file",),
    "password": ("password_file",),
    "permission": ("allow", "prevent", "prohibit", "inherit"),
    "secrets": ("value_file", "param_file"),
    "sql": ("sql",),
}
_ANY = ""
# By an error's code and the words that a call begins with.
_OPTIONS: Mapping[str, Mapping[str, str]] = {
    "codebase.componentcache": {"codebase add": "That is without --immutable."},
    "codebase.components": {"codebase add": "That is without --immutable."},
    "engine.sql.readonly": {"sql": "With --write it is tried first, confirmed, and then done."},
    "run.timeout": {_ANY: "--timeout SECONDS allows more."},
    "setting.secret": {"config set": "That is --value-file NAME=FILE."},
    "setting.unknown": {
        "config set": "--new makes a setting that a site has not yet.",
    },
    "sql.empty": {"sql": "--file FILE and --query NAME give it, too."},
    "sql.parameter": {"sql": "--param NAME=VALUE gives one."},
    "sql.which": {"sql": "The options are --file and --query."},
    "filedir.lost": {_ANY: "As in vmoodle site delete SITE --no-snapshot."},
    "install.failed": {_ANY: "As in vmoodle codebase check NAME --server SERVER."},
    "table.large": {"copy table": "--replace, and --where for some of them."},
    "task.cron_off": {"task run": "That is --force."},
    "upgrade.failed": {_ANY: "As in vmoodle codebase check NAME --server SERVER."},
}


def word_of_call(name: str) -> str:
    """Return what the call at hand calls a parameter."""
    context = get_current_context(silent=True)
    call = dict(_of_call(context.command.params)) if context else {}
    found = [call[one] for one in (name, *_OTHERWISE.get(name, ())) if one in call]
    if len(found) > 1:
        return f"{', '.join(found[:-1])} or {found[-1]}"
    return found[0] if found else f"--{name.replace('_', '-')}"


def words_of_options(model: type[Parameters]) -> Words:
    """Return what options made from a command's model are called."""
    from vmoodle.fleet.parameters import parameters

    options = {one.name: one.option for one in parameters(model)}
    return lambda name: options.get(name, name)


def with_options(code: str, hint: str) -> str:
    """Return an error's hint, and behind it which option of the call at hand can help."""
    call = f"{' '.join(sys.argv[1:3])} "
    for words, sentence in _OPTIONS.get(code, {}).items():
        if call.startswith(f"{words} ".lstrip()):
            return f"{hint} {sentence}".strip()
    return hint


def _of_call(params: object) -> Iterator[tuple[str, str]]:
    for one in params:  # type: ignore[attr-defined]
        options = [word for word in one.opts if word.startswith("--")]
        metavar = (one.metavar or one.name).strip("[].").upper()
        yield one.name, options[0] if options else metavar
