"""SQL on many sites: reading by construction, writing only after a trial that is taken back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from vmoodle.engines.protocol import Most, SiteConnection
from vmoodle.errors import Failed, InvalidInput, Refused, VMoodleError
from vmoodle.fleet.command import Command, Comparison, Effect
from vmoodle.fleet.parameters import (
    LongText,
    Parameters,
    SecretParameter,
    secret_texts,
)
from vmoodle.fleet.result import Cell, Result, Table, cell
from vmoodle.fleet.sql import text as sql_text
from vmoodle.fleet.sql.reading import dialect_of, read_script
from vmoodle.fleet.sql.text import Dialect, Statement
from vmoodle.fleet.target_site import TargetSite
from vmoodle.secret import MASK, Secret, without_secrets

# On MariaDB and MySQL these stay in the transaction; what else there is may commit at once.
_TRANSACTIONAL = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE", "REPLACE", "WITH", "VALUES"})
_NOT_TRIED = "not tried: it commits at once"
_NOT_TRANSACTIONAL = """
    SELECT COUNT(*), MIN(TABLE_NAME) FROM information_schema.TABLES
     WHERE TABLE_SCHEMA = DATABASE() AND TABLE_TYPE = 'BASE TABLE' AND ENGINE <> 'InnoDB'
"""


class Sql(Parameters):
    """A statement or a script."""

    sql: Annotated[str, LongText()] = Field(
        description="SQL; {table} is the site's table, as {user}."
    )
    param: list[str] = Field(
        default_factory=list, description="name=value for :name in the SQL; repeatable."
    )
    secrets: SecretParameter = Field(
        default=Secret(""), description="of parameters that are secrets: JSON as {name: value}."
    )
    dialect: Literal["", "mariadb", "postgresql"] = Field(
        default="",
        description="Whose SQL it is; put into the other engine's where sites need it.",
    )

    def script(self, dialect: Dialect) -> tuple[Statement, ...]:
        """Return the statements as sites of an engine take them."""
        secrets = secret_texts(self.secrets)
        return sql_text.statements(self.sql, self.param, dialect, self.dialect, secrets)

    @contextmanager
    def telling_no_secret(self) -> Iterator[None]:
        """Keep the secrets out of what a server says of a statement."""
        try:
            yield
        except VMoodleError as error:
            secrets = [Secret(one) for one in secret_texts(self.secrets).values()]
            said = (without_secrets(one, secrets) for one in (error.message, error.hint))
            raise type(error)(error.code, *said) from None

    @property
    def is_masked(self) -> bool:
        """Tell whether the secrets are gone, so that the statements cannot be made any more."""
        return self.secrets.reveal() == MASK

    @model_validator(mode="after")
    def _can_be_read(self) -> Self:
        # As it was written; what another engine makes of it is told by its sites.
        if not self.is_masked:
            try:
                self.script("postgresql" if self.dialect == "postgresql" else "mariadb")
            except InvalidInput:
                # Where nobody says whose it is, texts may end as PostgreSQL's do.
                if self.dialect or not _is_read(self, "postgresql"):
                    raise
        return self

    @model_validator(mode="after")
    def _leaves_the_transaction(self) -> Self:
        if self.is_masked:
            return self
        # Where nobody says whose it is, what one engine takes is left to its sites to judge.
        both: tuple[Dialect, ...] = ("mariadb", "postgresql")
        read = [one for one in both if self.dialect in ("", one) and _is_read(self, one)]
        refused = [error for error in map(self._transaction_word, read) if error]
        if refused and len(refused) == len(read):
            raise refused[0]
        return self

    def _transaction_word(self, dialect: Dialect) -> InvalidInput | None:
        try:
            sql_text.refuse_transaction_words(self.script(dialect))
        except InvalidInput as error:
            return error
        return None


def _is_read(given: Sql, dialect: Dialect) -> bool:
    try:
        given.script(dialect)
    except InvalidInput:
        return False
    return True


class ReadBySql(Command[Sql]):
    """Ask; the database itself refuses every change."""

    name = "sql.read"
    title = "Ask by SQL; nothing can be changed."
    effect = Effect.READS
    model = Sql
    comparison = Comparison.BY_SHAPE

    def __init__(self, given: Sql) -> None:
        super().__init__(given)
        self._script = cache(given.script)

    def run(self, site: TargetSite) -> Result:
        """Return the first rows of the last statement's answer."""
        limits = site.installation.settings.fleet
        most = Most(limits.most_rows, limits.most_bytes)
        script = self._script(dialect_of(site))
        sql_text.refuse_transaction_words(script)
        with self.given.telling_no_secret():
            rows = read_script(site, script, most)
        cells = tuple(tuple(cell(value) for value in row) for row in rows)
        return Table(rows.columns, cells, truncated=rows.cut)


class WriteBySql(Command[Sql]):
    """Change rows and tables: one transaction on each site."""

    name = "sql.write"
    title = "Change by SQL, after a trial that is taken back."
    effect = Effect.WRITES
    model = Sql

    def __init__(self, given: Sql) -> None:
        super().__init__(given)
        self._script = cache(given.script)

    def run(self, site: TargetSite) -> Result:
        """Run all statements, commit, and return how many rows each touched."""
        script = self._checked(site)
        touched: list[int] = []
        try:
            with self.given.telling_no_secret(), site.change() as connection:
                for statement in script:
                    touched.append(connection.execute(statement.sql, statement.values))
        except VMoodleError as error:
            if error.code == "run.outcome":
                raise
            raise _told(error, script, touched, dialect_of(site)) from error
        return _affected(list(touched), ["" for _one in script])

    def dry_run(self, site: TargetSite) -> Result:
        """Run all statements, take everything back, and return how many rows each touched."""
        script = self._checked(site)
        touched: list[Cell] = []
        notes = []
        try:
            with self.given.telling_no_secret(), site.change(dry=True) as connection:
                if dialect_of(site) == "mariadb":
                    _refuse_not_transactional(connection)
                for statement in script:
                    lasting = _commits(statement, dialect_of(site))
                    notes.append(_NOT_TRIED if lasting else "")
                    touched.append(
                        None if lasting else connection.execute(statement.sql, statement.values)
                    )
        except VMoodleError as error:
            raise _placed(error, script, len(touched)) from error
        return _affected(touched, notes)

    def _checked(self, site: TargetSite) -> tuple[Statement, ...]:
        script = self._script(dialect_of(site))
        sql_text.refuse_transaction_words(script)
        return script


def _commits(statement: Statement, dialect: Dialect) -> bool:
    """Tell whether a statement may end the transaction: on MariaDB and MySQL, all DDL does."""
    return dialect == "mariadb" and statement.word not in _TRANSACTIONAL


def _affected(touched: list[int] | list[Cell], notes: list[str]) -> Table:
    if len(touched) == 1 and not any(notes):
        return Table(("affected",), ((touched[0],),))
    rows = tuple((n, *row) for n, row in enumerate(zip(touched, notes, strict=True), 1))
    if not any(notes):
        return Table(("statement", "affected"), tuple(row[:2] for row in rows))
    return Table(("statement", "affected", "note"), rows)


def _refuse_not_transactional(connection: SiteConnection) -> None:
    """Raise Refused `sql.trial` where a trial could not be taken back."""
    ((count, first),) = connection.query(_NOT_TRANSACTIONAL)
    if count:
        raise Refused(
            "sql.trial",
            f"{count} table(s) of the site, as {first}, are not InnoDB: what is tried there cannot "
            "be taken back.",
            "Convert them first, as Moodle asks for: admin/cli/mysql_engine.php.",
        )


def _told(
    error: VMoodleError, script: tuple[Statement, ...], touched: list[int], dialect: Dialect
) -> VMoodleError:
    """Return the error with the statement it came from, and with what stays behind it."""
    kept = [n for n, one in enumerate(script[: len(touched)], 1) if _commits(one, dialect)]
    placed = _placed(error, script, len(touched))
    if kept:
        return Failed(
            "sql.partial",
            f"{placed.message} Statements 1 to {kept[-1]} stay: MariaDB and MySQL commit "
            "DDL, and all before it, at once.",
            f"{error.hint} Then run what is missing.",
        )
    return placed


def _placed(error: VMoodleError, script: tuple[Statement, ...], done: int) -> VMoodleError:
    """Return the error with the place of its statement in a script."""
    if len(script) == 1 or done == len(script):
        return error
    where = f"Statement {done + 1} of {len(script)}"
    return type(error)(error.code, f"{where}: {error.message}", error.hint)
