"""Values that come from files: `--value-file NAME=FILE` of settings, `--param-file` of SQL."""

from __future__ import annotations

import json
from collections.abc import Iterable

from vmoodle.cli.secrets_in import read_value
from vmoodle.errors import InvalidInput
from vmoodle.moodle.config.names import parse_setting
from vmoodle.secret import Secret


def read_value_files(given: Iterable[str]) -> tuple[list[str], Secret]:
    """Return as `name=value` what is no secret, and what is as one secret JSON object.

    Raise InvalidInput `setting.file`, `setting.name`, `setting.twice`, `secret.unreadable`.
    """
    clear: list[str] = []
    hidden: dict[str, str] = {}
    for one in given:
        name, value = _read(one, InvalidInput(
            "setting.file", f"{one!r} names no file.", "As in auth_ldap/bind_pw=FILE."
        ))  # fmt: skip
        setting = parse_setting(name)
        if not setting.is_secret:
            clear.append(f"{setting}={value}")
        elif str(setting) in hidden:
            raise InvalidInput("setting.twice", f"{setting} is given twice.", "Give it once.")
        else:
            hidden[str(setting)] = value
    return clear, Secret(json.dumps(hidden) if hidden else "")


def read_secret_files(given: Iterable[str]) -> Secret:
    """Return the values of parameters of SQL as one secret JSON object.

    Raise InvalidInput `sql.parameter`, `secret.unreadable`.
    """
    values: dict[str, str] = {}
    for one in given:
        name, value = _read(one, InvalidInput(
            "sql.parameter", f"{one!r} names no file.", "As in --param-file token=FILE, for :token."
        ))  # fmt: skip
        if name in values:
            raise InvalidInput(
                "sql.parameter", f"The parameter {name} is given twice.", "Give it once."
            )
        values[name] = value
    return Secret(json.dumps(values) if values else "")


def _read(given: str, problem: InvalidInput) -> tuple[str, str]:
    """Return the name, and what the file has; raise the problem where none is named."""
    name, separator, path = given.partition("=")
    if not (name and separator and path):
        raise problem
    return name, read_value(path).reveal()
