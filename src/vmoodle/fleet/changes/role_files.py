"""Definitions of roles of one site, and the file they are written into."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vmoodle.errors import InvalidInput
from vmoodle.fleet.changes.roles import ask_source
from vmoodle.moodle.roles.definitions import RoleDefinition, named, read_roles
from vmoodle.moodle.roles.documents import to_yaml

if TYPE_CHECKING:
    from vmoodle.installation import Installation


def definitions(
    installation: Installation, shortname: str, patterns: Iterable[str]
) -> list[RoleDefinition]:
    """Return the roles of a site that names and patterns mean; raise NotFound `role.unknown`."""
    site = ask_source(installation, shortname, read_roles)
    return [site.roles[name] for name in named(patterns, site.shortnames, site.called)]


def write(roles: Sequence[RoleDefinition], file: str) -> None:
    """Write roles as YAML into a new file, or to standard output for `-`.

    Raise InvalidInput `role.file` for one that is there or cannot be written.
    """
    text = to_yaml(roles)
    if file == "-":
        sys.stdout.write(text)
        return
    try:
        with Path(file).open("x", encoding="utf-8") as opened:
            opened.write(text)
    except OSError as error:
        raise InvalidInput(
            "role.file", f"{file} cannot be written: {error.strerror}.", "Name a new file."
        ) from error
