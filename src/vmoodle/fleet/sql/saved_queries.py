"""The library of saved SQL: only what can be read is kept."""

from __future__ import annotations

from vmoodle.errors import InvalidInput
from vmoodle.fleet.options import read_text
from vmoodle.fleet.sql import text as sql_text
from vmoodle.fleet.targets.expression import GROUP_NAME
from vmoodle.registry import saved_queries


def save(name: str, sql: str, dialect: str = "", note: str = "") -> str:
    """Keep SQL under a name; return why no engine may understand it, empty where one may.

    Raise InvalidInput `sql.query.name`, `sql.dialect`, `sql.syntax`.
    """
    if not GROUP_NAME.fullmatch(name):
        raise InvalidInput(
            "sql.query.name",
            f"{name!r} cannot be the name of a query.",
            "1 to 40 of a-z, 0-9, - and _, beginning and ending with a letter or digit.",
        )
    if dialect not in {"", "mariadb", "postgresql"}:
        raise InvalidInput(
            "sql.dialect", f"There is no dialect {dialect!r}.", "mariadb or postgresql."
        )
    sql_text.split(sql, "postgresql" if dialect == "postgresql" else "mariadb")
    saved_queries.save(name, sql, dialect, note)
    engines: dict[str, tuple[sql_text.Dialect, ...]] = {
        "mariadb": ("mariadb",), "postgresql": ("postgresql",)
    }  # fmt: skip
    return sql_text.misread(sql, engines.get(dialect, ("mariadb", "postgresql")))


def the_sql(sql: str, file: str, query: str) -> tuple[str, str]:
    """Return the SQL that is given in one of three ways, and the dialect of a saved one.

    Raise InvalidInput `sql.which` for none or several of them.
    """
    if sum(map(bool, (sql, file, query))) != 1:
        raise InvalidInput(
            "sql.which",
            "Give the SQL itself, a file of it, or a saved query: one of them.",
            "As in 'SELECT 1'.",
        )
    if query:
        row = saved_queries.find(query)
        return row.sql, row.dialect
    return (read_text(file) if file else sql), ""
