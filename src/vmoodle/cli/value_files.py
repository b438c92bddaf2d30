"""Values of settings that come from files: `--value-file NAME=FILE`."""

from __future__ import annotations

from collections.abc import Iterable

from vmoodle.cli.secrets_in import read_value
from vmoodle.errors import InvalidInput
from vmoodle.moodle.config.names import parse_setting
from vmoodle.secret import Secret


def read_value_files(given: Iterable[str]) -> tuple[list[str], Secret]:
    """Return as `name=value` what is no secret, and what is as one secret JSON object.

    Raise InvalidInput `setting.file`, `setting.name`, `setting.twice`, `secret.unreadable`.
    """
    import json

    clear: list[str] = []
    hidden: dict[str, str] = {}
    for one in given:
        name, separator, path = one.partition("=")
        if not separator or not path:
            raise InvalidInput(
                "setting.file", f"{one!r} names no file.", "As in auth_ldap/bind_pw=FILE."
            )
        setting = parse_setting(name)
        value = read_value(path).reveal()
        if not setting.is_secret:
            clear.append(f"{setting}={value}")
        elif str(setting) in hidden:
            raise InvalidInput("setting.twice", f"{setting} is given twice.", "Give it once.")
        else:
            hidden[str(setting)] = value
    return clear, Secret(json.dumps(hidden) if hidden else "")
