"""MariaDB and MySQL: databases, accounts, copies and dumps of sites."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import IO, Literal

from vmoodle.engines import clients
from vmoodle.engines.address import ServerAddress
from vmoodle.engines.copies import Copies
from vmoodle.engines.mariadb_accounts import Accounts
from vmoodle.engines.mariadb_connection import Session, open_session, open_site, quote_name
from vmoodle.engines.mariadb_copies import (
    BEYOND_PLAIN_TABLES,
    TABLE_NAMES,
    option_file,
    without_definers,
)
from vmoodle.engines.mariadb_grants import missing_grants
from vmoodle.engines.mariadb_sessions import end_forsaken, end_own_connections, mark
from vmoodle.engines.mariadb_table_copies import (
    copy_tables,
    fill_tables,
    prepare_tables,
    rename_tables,
    text_that_names_tables,
)
from vmoodle.engines.names import PREFIX
from vmoodle.engines.prefixes import require_prefix, text_names_tables
from vmoodle.engines.protocol import (
    CopyMethod,
    MissingGrant,
    ServerFacts,
    SiteConnection,
    SiteDatabase,
)
from vmoodle.engines.refusals import (
    account_exists,
    no_account,
    no_database,
    read_only_server,
    require_site_account,
    require_two,
    with_statements,
)
from vmoodle.errors import Refused, Unavailable, VMoodleError

COLLATION = "utf8mb4_unicode_ci"
_SYSTEM_DATABASES = ("information_schema", "mysql", "performance_schema", "sys")
# Seconds a DROP or a LOCK waits for others before it gives up; the server's own default is a day.
_LOCK_WAIT = 20
# Bytes up to which a site's writers are kept waiting while its database is copied: a few seconds.
_LIVE_LIMIT = 64 << 20

_SIZE = """
    SELECT CAST(COALESCE(SUM(t.data_length + t.index_length), 0) AS UNSIGNED)
      FROM information_schema.schemata s
      LEFT JOIN information_schema.tables t ON t.table_schema = s.schema_name
     WHERE s.schema_name = %s GROUP BY s.schema_name
"""


class MariaDB(Copies):
    """Administer one MariaDB or MySQL server; keep the promise of Engine."""

    def __init__(
        self, address: ServerAddress, flavour: str | None = None, prefix: str = PREFIX
    ) -> None:
        self.address = address
        self._flavour = flavour
        self._prefix = prefix

    def facts(self) -> ServerFacts:
        """Return what the server is."""
        with self._administer(writes=False) as session:
            flavour: Literal["mariadb", "mysql"] = "mariadb" if session.is_mariadb else "mysql"
            return ServerFacts(flavour, session.version, _is_read_only(session))

    def missing_grants(self) -> list[MissingGrant]:
        """Return the rights that creating databases and accounts takes and the account lacks."""
        with open_session(self.address) as session:
            return missing_grants(session, self._prefix)

    def account_exists(self, account: str) -> bool:
        """Tell whether the account exists for the host part that sites' accounts have."""
        with self._administer(writes=False) as session:
            return Accounts(session, self.address).exists(account)

    def create_account(self, database: SiteDatabase, *, if_missing: bool = False) -> None:
        """Make the site's account, without any right yet."""
        require_site_account(self.address, database.account)
        with self._administer() as session:
            accounts = Accounts(session, self.address)
            if not accounts.exists(database.account):
                accounts.make(database)
            elif if_missing:
                accounts.set_password(database)
            else:
                raise account_exists(database.account)

    def drop_account(self, account: str, *, if_exists: bool = False) -> None:
        """Remove an account; its open connections end with their next statement."""
        require_site_account(self.address, account)
        with self._administer() as session:
            accounts = Accounts(session, self.address)
            if accounts.exists(account):
                accounts.drop(account)
            elif not if_exists:
                raise no_account(account)

    def database_exists(self, name: str) -> bool:
        """Tell whether a database of that name exists."""
        with self._administer(writes=False) as session:
            return _has_database(session, name)

    def create_database(self, database: SiteDatabase, *, if_missing: bool = False) -> None:
        """Make an empty utf8mb4 database for the site's account alone."""
        with self._administer() as session:
            self._create(session, database, if_missing=if_missing)

    def drop_database(self, database: SiteDatabase, *, if_exists: bool = False) -> None:
        """End the site's connections, take back its rights and remove the database."""
        with self._administer() as session:
            self._drop(session, database, if_exists=if_exists)

    def reset_database(self, database: SiteDatabase) -> None:
        """Drop the database when there is one, and make it again, empty."""
        with self._administer() as session:
            self._drop(session, database, if_exists=True)
            self._create(session, database)

    def prepare_clone(self, source: SiteDatabase, target: SiteDatabase) -> str:
        """Make the tables: that takes longer than the rows of a site that is not large."""
        require_two(source, target)
        require_prefix(target.prefix, source.prefix)
        with self._administer() as session:
            if not self._copies_inside(session, source, target, any_size=True):
                return ""
            self._drop(session, target, if_exists=True)
            self._create(session, target)
            try:
                return prepare_tables(self.address, source, target)
            except BaseException:
                with suppress(VMoodleError):
                    self.drop_database(target, if_exists=True)
                raise

    def clone_database(
        self,
        source: SiteDatabase,
        target: SiteDatabase,
        *,
        replace: bool = False,
        prepared: str = "",
    ) -> CopyMethod:
        """Copy tables inside the server; writers to a small live source wait meanwhile.

        A large live source goes through a dump, and so does one with views, triggers or generated
        columns.
        """
        require_two(source, target)
        require_prefix(target.prefix, source.prefix)
        with self._administer() as session:
            if prepared and self._fill(session, source, target, prepared):
                return "server"
            inside = self._copies_inside(session, source, target)
            if replace or prepared:
                self._drop(session, target, if_exists=True)
            self._create(session, target)
            try:
                if inside and self._copy_inside(session, source, target):
                    return "server"
                self._copy_by_dump(source, target)
                rename_tables(session, target.name, source.prefix, target.prefix)
            except BaseException:
                with suppress(VMoodleError):  # what stays is replaced by the next try
                    self.drop_database(target, if_exists=True)
                raise
        return "dump"

    def _fill(
        self, session: Session, source: SiteDatabase, target: SiteDatabase, prepared: str
    ) -> bool:
        """Fill what was prepared; return False where a whole copy is to be made instead."""
        if _has_database(session, target.name):
            with suppress(VMoodleError):
                return fill_tables(self.address, source, target, prepared)
        return False

    def _copies_inside(
        self,
        session: Session,
        source: SiteDatabase,
        target: SiteDatabase,
        *,
        any_size: bool = False,
    ) -> bool:
        """Tell whether the server can copy by itself; raise what makes a copy impossible."""
        if not _has_database(session, source.name):
            raise no_database(source.name)
        renames = source.prefix != target.prefix
        if renames and (what := text_that_names_tables(session, source.name)):
            raise text_names_tables(source.name, what)
        if session.run(BEYOND_PLAIN_TABLES, (source.name,) * 3):
            return False
        return (
            any_size
            or self._is_administrative(source)
            or int(session.run(_SIZE, (source.name,))[0][0]) <= _LIVE_LIMIT
        )

    def _copy_inside(self, session: Session, source: SiteDatabase, target: SiteDatabase) -> bool:
        """Copy table by table; return whether a live source could be locked for it."""
        live = not self._is_administrative(source)
        try:
            copy_tables(self.address, source, target, live=live)
        except Unavailable as error:
            if not live or error.code != "engine.busy":
                raise
            self._drop(session, target, if_exists=True)
            self._create(session, target)
            return False
        return True

    def size(self, name: str) -> int:
        """Return the bytes of data and indexes, as the server's statistics have them."""
        with self._administer(writes=False) as session:
            rows = session.run(_SIZE, (name,))
            if not rows:
                raise no_database(name)
            return int(rows[0][0])

    def data_directory(self) -> str:
        """Return where it keeps its data."""
        with self._administer(writes=False) as session:
            return str(session.run("SELECT @@datadir")[0][0])

    def tables(self, database: SiteDatabase) -> list[str]:
        """Return the names of its tables in order, prefix included."""
        with self.connect(database) as connection:
            return sorted(str(row[0]) for row in connection.query(TABLE_NAMES, (database.name,)))

    def list_databases(self) -> list[str]:
        """Return the names of the server's databases in order, without the server's own."""
        with self._administer(writes=False) as session:
            names = [str(name) for (name,) in session.run("SHOW DATABASES")]
        return sorted(name for name in names if name.lower() not in _SYSTEM_DATABASES)

    def _open(
        self,
        database: SiteDatabase,
        *,
        read_only: bool,
        statement_timeout: float | None,
        one_moment: bool,
    ) -> AbstractContextManager[SiteConnection]:
        return open_site(
            self.address,
            database,
            read_only=read_only,
            statement_timeout=statement_timeout,
            one_moment=one_moment,
        )

    def moodle_config(self, database: SiteDatabase) -> dict[str, object]:
        """Return the `$CFG` members for Moodle's mysqli and mariadb drivers.

        Source: lib/dml/mysqli_native_moodle_database.php, raw_connect() (Moodle 4.5): the socket
        counts only for the host `localhost`, and that host never means TCP.
        """
        flavour = self._flavour or self.facts().flavour
        over_tcp = "127.0.0.1" if self.address.host == "localhost" else self.address.host
        options: dict[str, object] = {
            "dbpersist": False,
            "dbport": "" if self.address.socket else self.address.effective_port,
            "dbsocket": self.address.socket or "",
            "dbcollation": COLLATION,
        }
        mode = self.address.options.get("sslmode", "prefer")
        if mode in ("require", "verify-ca", "verify-full"):
            options["ssl"] = "verify-full" if mode.startswith("verify") else "require"
        return {
            "dbtype": "mariadb" if flavour == "mariadb" else "mysqli",
            "dblibrary": "native",
            "dbhost": "localhost" if self.address.socket else over_tcp,
            "dbname": database.name,
            "dbuser": database.account,
            "dbpass": database.password.reveal(),
            "prefix": database.prefix,
            "dboptions": options,
        }

    @contextmanager
    def _administer(self, *, writes: bool = True) -> Iterator[Session]:
        """Log in as the administrator; a missing right is answered with the grant that gives it."""
        try:
            with open_session(self.address) as session:
                if writes and _is_read_only(session):
                    raise read_only_server(self.address)
                mark(session)
                if writes:
                    end_forsaken(session)
                session.run(f"SET SESSION lock_wait_timeout = {_LOCK_WAIT}, sql_mode = ''")
                yield session
        except Refused as error:
            statements = self.missing_grants()
            if error.code != "engine.grant" or not statements:
                raise
            raise with_statements(error, statements) from error

    def _create(
        self, session: Session, database: SiteDatabase, *, if_missing: bool = False
    ) -> None:
        accounts = Accounts(session, self.address)
        own = not self._is_administrative(database)
        if own and not accounts.exists(database.account):
            raise no_account(database.account)
        if not (if_missing and _has_database(session, database.name)):
            session.run(
                f"CREATE DATABASE {quote_name(database.name)}"
                f" CHARACTER SET utf8mb4 COLLATE {COLLATION}"
            )
        if own:
            accounts.grant(database)

    def _drop(self, session: Session, database: SiteDatabase, *, if_exists: bool) -> None:
        # Grants outlive a database in MariaDB, and would open a later one of the same name.
        accounts = Accounts(session, self.address)
        own = not self._is_administrative(database)
        if own:
            accounts.revoke(database)
        if not _has_database(session, database.name):
            if if_exists:
                return
            raise no_database(database.name)
        if own:
            accounts.end_connections(database)
        # What a copy that was killed left at work would go on in a new database of the name.
        end_own_connections(session, database.name)
        session.run(f"DROP DATABASE IF EXISTS {quote_name(database.name)}")

    def _dumping(self, database: SiteDatabase) -> AbstractContextManager[clients.Client]:
        return self._client(
            ("mariadb-dump", "mysqldump"),
            database,
            "--single-transaction",
            "--quick",
            "--skip-lock-tables",
            "--no-tablespaces",
            "--hex-blob",
            "--triggers",
            "--skip-dump-date",
            "--default-character-set=utf8mb4",
            "--",
        )

    def _restoring(self, database: SiteDatabase) -> AbstractContextManager[clients.Client]:
        # One whose connection was ended must not go on in a new database of the same name.
        # A dump from elsewhere reads no file of this machine and runs no command of the client.
        options = (
            "--binary-mode",
            "--local-infile=0",
            "--default-character-set=utf8mb4",
            "--skip-reconnect",
        )
        return self._client(("mariadb", "mysql"), database, *options)

    def _to_restore(self, dump: IO[bytes]) -> Iterable[bytes]:
        return without_definers(dump)

    @contextmanager
    def _client(
        self, names: Sequence[str], database: SiteDatabase, *options: str
    ) -> Iterator[clients.Client]:
        """Yield a client on the database, with the option file that it inherits."""
        with clients.inherited_file(option_file(self.address, database)) as descriptor:
            program = clients.find_program(*names)
            defaults = f"--defaults-file=/dev/fd/{descriptor}"
            yield clients.Client(
                [program, defaults, *options, database.name],
                clients.client_environment(),
                descriptor,
            )


def _is_read_only(session: Session) -> bool:
    (value,) = session.run("SELECT @@global.read_only")[0]
    return str(value).upper() not in ("0", "OFF")


def _has_database(session: Session, name: str) -> bool:
    sql = "SELECT 1 FROM information_schema.schemata WHERE schema_name = %s"
    return bool(session.run(sql, (name,)))
