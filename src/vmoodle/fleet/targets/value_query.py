"""Queries whose answer decides whether a site is meant: asked of many at once, only reading."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import cache, partial
from typing import TYPE_CHECKING

from vmoodle.engines.protocol import GRACE, Most
from vmoodle.errors import Failed, InvalidInput, VMoodleError
from vmoodle.fleet.fan_out import Bounds, fan_out
from vmoodle.fleet.sql.reading import dialect_of, read_script
from vmoodle.fleet.sql.text import Dialect, Statement, statements
from vmoodle.fleet.target_site import TargetSite
from vmoodle.fleet.target_sites import TargetSites, by_server
from vmoodle.fleet.targets.choice import Ask

if TYPE_CHECKING:
    from vmoodle.installation import Installation

_WORDS = {
    **dict.fromkeys(("1", "t", "true", "y", "yes", "on"), True),
    **dict.fromkeys(("", "0", "f", "false", "n", "no", "off"), False),
}


def asker(installation: Installation) -> Ask:
    """Return what asks the sites of an installation."""
    settings = installation.settings.fleet
    bounds = Bounds(settings.together, settings.per_server, settings.timeout + GRACE)

    def ask(sql: str, ids: Sequence[int]) -> Mapping[int, bool | VMoodleError]:
        one_statement = cache(partial(_one_statement, sql))

        def decide(site: TargetSite) -> bool:
            rows = read_script(site, one_statement(dialect_of(site)), Most(1, 1_000_000))
            return is_true(rows[0][0] if rows and rows[0] else None)

        lanes = TargetSites(installation, settings.timeout).lanes(by_server(ids), decide)
        answers: dict[int, bool | VMoodleError] = {}
        for ended in fan_out(lanes, bounds):
            for one in ended:
                answers[int(one.key)] = one.error or bool(one.value)
        return answers

    return ask


def _one_statement(sql: str, dialect: Dialect) -> tuple[Statement, ...]:
    found = statements(sql, (), dialect)
    if len(found) > 1:
        raise InvalidInput(
            "target.query",
            f"A query that selects sites is one statement, and these are {len(found)}.",
            "Ask all of it in one, as SELECT COUNT(*) > 0 FROM {user} WHERE deleted = 1.",
        )
    return found


def is_true(value: object) -> bool:
    """Tell whether the first cell of an answer says yes; no row and NULL say no.

    Raise Failed `target.value` for a text that is neither yes nor no.
    """
    if value is None or isinstance(value, bool | int | float | Decimal):
        return bool(value)
    if isinstance(value, bytes) and len(value) == 1 and value < b"\x02":  # MariaDB's BIT(1)
        return value == b"\x01"
    text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    word = _WORDS.get(text.strip().lower())
    if word is None:
        raise Failed(
            "target.value",
            f"The site answers {text[:40]!r}, which is neither true nor false.",
            "Let the query's first cell be a condition or a number, as in SELECT COUNT(*) > 0.",
        )
    return word
