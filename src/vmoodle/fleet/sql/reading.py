"""SQL that only asks one site: the same errors for whoever asks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from vmoodle.engines.protocol import Most, Rows
from vmoodle.errors import Refused
from vmoodle.fleet.sql.text import Dialect, Statement

if TYPE_CHECKING:
    from vmoodle.fleet.target_site import TargetSite


def dialect_of(site: TargetSite) -> Dialect:
    """Return whose SQL a site takes."""
    return "mariadb" if site.dialect == "mariadb" else "postgresql"


def read_script(site: TargetSite, script: Sequence[Statement], most: Most) -> Rows:
    """Return the first rows of the last statement's answer.

    Raise Refused `engine.sql.readonly` for what may change the site, and as `read` of a connection.
    """
    rows = Rows((), ())
    try:
        with site.connect() as connection:
            for statement in script:
                rows = connection.read(statement.sql, statement.values, most=most)
    except Refused as error:
        raise _only_reads(error) from error
    return rows


def _only_reads(error: Refused) -> Refused:
    """Return the error with what changes sites, in the same words for all engines."""
    if error.code != "engine.sql.readonly":
        return error
    return Refused(
        error.code,
        "The statement may change the site, and sites are only read.",
        "SELECT, SHOW, EXPLAIN and the like only read.",
    )
