"""PostgreSQL: databases, accounts, copies and dumps of sites."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import IO

from psycopg import sql

from vmoodle.engines import clients
from vmoodle.engines.address import ServerAddress
from vmoodle.engines.copies import Copies
from vmoodle.engines.postgresql_accounts import (
    become_member,
    has_account,
    make_account,
    set_password,
)
from vmoodle.engines.postgresql_connection import (
    Session,
    connection_parameters,
    end_forsaken,
    open_session,
    open_site,
)
from vmoodle.engines.postgresql_copies import copy_files
from vmoodle.engines.postgresql_databases import (
    close_to_others,
    create_empty,
    drop,
    end_making,
    owner_of,
)
from vmoodle.engines.postgresql_ownership import hand_over
from vmoodle.engines.postgresql_prefix import change_prefix
from vmoodle.engines.prefixes import require_prefix
from vmoodle.engines.protocol import (
    CopyMethod,
    MissingGrant,
    ServerFacts,
    SiteConnection,
    SiteDatabase,
)
from vmoodle.engines.refusals import (
    account_exists,
    database_exists,
    foreign_database,
    no_account,
    no_database,
    read_only_server,
    require_site_account,
    require_two,
    with_statements,
)
from vmoodle.errors import Refused, VMoodleError
from vmoodle.secret import Secret

_OWN_RIGHTS = """
    SELECT rolsuper, rolcreatedb, rolcreaterole, quote_ident(rolname)
      FROM pg_roles WHERE rolname = current_user
"""
_TABLES = """
    SELECT tablename FROM pg_tables
     WHERE schemaname NOT LIKE 'pg\\_%' AND schemaname <> 'information_schema'
"""


class PostgreSQL(Copies):
    """Administer one PostgreSQL server; keep the promise of Engine."""

    def __init__(self, address: ServerAddress) -> None:
        self.address = address

    def facts(self) -> ServerFacts:
        """Return what the server is."""
        with self._administer(writes=False) as session:
            version = session.driver.info.parameter_status("server_version") or ""
            return ServerFacts("postgresql", version.partition(" ")[0], _is_read_only(session))

    def missing_grants(self) -> list[MissingGrant]:
        """Return which of CREATEDB and CREATEROLE the account lacks.

        These two are enough: whoever may create roles may make itself a member of those it
        made (PostgreSQL 16 and later: by the ADMIN option it then has), and so own databases
        through them.
        """
        with open_session(self.address, database=self._maintenance_database) as session:
            ((superuser, createdb, createrole, name),) = session.ask(_OWN_RIGHTS)
        held = {"CREATEDB": superuser or createdb, "CREATEROLE": superuser or createrole}
        return [
            MissingGrant(privilege, f"ALTER ROLE {name} {privilege};")
            for privilege, is_held in held.items()
            if not is_held
        ]

    def account_exists(self, account: str) -> bool:
        """Tell whether a role of that name exists."""
        with self._administer(writes=False) as session:
            return has_account(session, account)

    def create_account(self, database: SiteDatabase, *, if_missing: bool = False) -> None:
        """Make the site's role; server and log see its password only as a SCRAM verifier."""
        require_site_account(self.address, database.account)
        with self._administer() as session:
            there = has_account(session, database.account)
            if there and not if_missing:
                raise account_exists(database.account)
            if not there:
                make_account(session, database.account)
            set_password(session, database)
            become_member(session, database.account)

    def drop_account(self, account: str, *, if_exists: bool = False) -> None:
        """Remove a role that owns nothing any more."""
        require_site_account(self.address, account)
        with self._administer() as session:
            if has_account(session, account):
                session.do("DROP ROLE {role}", role=sql.Identifier(account))
            elif not if_exists:
                raise no_account(account)

    def database_exists(self, name: str) -> bool:
        """Tell whether a database of that name exists."""
        with self._administer(writes=False) as session:
            return owner_of(session, name) is not None

    def create_database(self, database: SiteDatabase, *, if_missing: bool = False) -> None:
        """Make an empty UTF-8 database, owned by the site's account and closed to all others."""
        with self._administer() as session:
            self._create(session, database, if_missing=if_missing)

    def drop_database(self, database: SiteDatabase, *, if_exists: bool = False) -> None:
        """End its connections and remove the database."""
        with self._administer() as session:
            end_making(session, database.name)
            if owner_of(session, database.name) is not None:
                drop(session, database.name)
            elif not if_exists:
                raise no_database(database.name)

    def reset_database(self, database: SiteDatabase) -> None:
        """Drop the database when there is one, and make it again, empty."""
        self.drop_database(database, if_exists=True)
        self.create_database(database)

    def prepare_clone(self, source: SiteDatabase, target: SiteDatabase) -> str:
        """Bring to the disk what was written: a copy of files waits for that, and then for less."""
        require_two(source, target)
        with suppress(VMoodleError), self._administer() as session:
            session.run("CHECKPOINT")  # an account that may not leaves it to the copy
        return ""

    def clone_database(
        self,
        source: SiteDatabase,
        target: SiteDatabase,
        *,
        replace: bool = False,
        prepared: str = "",  # noqa: ARG002  there is nothing to prepare
    ) -> CopyMethod:
        """Copy the files inside the server; a source that is in use goes through a dump instead."""
        require_two(source, target)
        require_prefix(target.prefix, source.prefix)
        with self._administer() as session:
            if owner_of(session, source.name) is None:
                raise no_database(source.name)
            if not has_account(session, target.account):
                raise no_account(target.account)
            if replace:
                drop(session, target.name)
            live = not self._is_administrative(source)
            inside = copy_files(session, source, target, live=live, replace=replace)
            if not inside:
                self._create(session, target, if_missing=False)
            try:
                if inside:
                    close_to_others(session, target.name)
                else:
                    self._copy_by_dump(source, target)
                with open_session(self.address, database=target.name) as copy:
                    if inside:
                        hand_over(copy, target.account)
                    change_prefix(copy, source.name, source.prefix, target.prefix)
            except BaseException:
                with suppress(VMoodleError):  # what stays is replaced by the next try
                    self.drop_database(target, if_exists=True)
                raise
        return "server" if inside else "dump"

    def size(self, name: str) -> int:
        """Return the bytes of data and indexes on the server's disk."""
        with self._administer(writes=False) as session:
            if owner_of(session, name) is None:
                raise no_database(name)
            return int(session.ask("SELECT pg_database_size(%s::name)", (name,))[0][0])

    def data_directory(self) -> str:
        """Return where it keeps its data; only who may read all settings is told."""
        with self._administer(writes=False) as session:
            rows = session.ask("SELECT setting FROM pg_settings WHERE name = 'data_directory'")
            return str(rows[0][0]) if rows else ""

    def tables(self, database: SiteDatabase) -> list[str]:
        """Return the names of its tables in order, prefix included."""
        with self.connect(database) as connection:
            return sorted(str(row[0]) for row in connection.query(_TABLES))

    def list_databases(self) -> list[str]:
        """Return the names of the server's databases in order, without the server's own."""
        with self._administer(writes=False) as session:
            rows = session.ask("SELECT datname FROM pg_database WHERE NOT datistemplate")
        return sorted(str(name) for (name,) in rows if name != "postgres")

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
        """Return the `$CFG` members for Moodle's pgsql driver.

        Source: lib/dml/pgsql_native_moodle_database.php, raw_connect() (Moodle 4.5): a socket's
        directory counts only for the hosts `localhost` and `127.0.0.1`; the port names its file.
        """
        options: dict[str, object] = {
            "dbpersist": False,
            "dbport": self.address.effective_port,
            "dbsocket": self.address.socket or "",
        }
        if mode := self.address.options.get("sslmode"):
            options["ssl"] = "verify-full" if mode == "verify-ca" else mode
        return {
            "dbtype": "pgsql",
            "dblibrary": "native",
            "dbhost": "localhost" if self.address.socket else self.address.host,
            "dbname": database.name,
            "dbuser": database.account,
            "dbpass": database.password.reveal(),
            "prefix": database.prefix,
            "dboptions": options,
        }

    @property
    def _maintenance_database(self) -> str:
        return self.address.options.get("database", "postgres")

    @contextmanager
    def _administer(self, *, writes: bool = True) -> Iterator[Session]:
        """Log in as the administrator; a missing right is answered with the grant that gives it."""
        try:
            with open_session(self.address, database=self._maintenance_database) as session:
                if writes and _is_read_only(session):
                    raise read_only_server(self.address)
                if writes:
                    end_forsaken(session)
                yield session
        except Refused as error:
            missing = self.missing_grants()
            if error.code != "engine.grant" or not missing:
                raise
            raise with_statements(error, missing) from error

    def _create(self, session: Session, database: SiteDatabase, *, if_missing: bool) -> None:
        owner = owner_of(session, database.name)
        if owner is None:
            if not has_account(session, database.account):
                raise no_account(database.account)
            create_empty(session, database.name, database.account)
        elif not if_missing:
            raise database_exists(database.name)
        elif owner != database.account:
            raise foreign_database(database.name)
        close_to_others(session, database.name)

    def _dumping(self, database: SiteDatabase) -> AbstractContextManager[clients.Client]:
        return self._client("pg_dump", database, "--format=custom")

    def _restoring(self, database: SiteDatabase) -> AbstractContextManager[clients.Client]:
        """Yield a client that loads a dump whole or not at all."""
        return self._client(
            "pg_restore",
            database,
            "--no-owner",
            "--no-privileges",
            "--no-comments",
            "--single-transaction",
            "--exit-on-error",
            f"--dbname={database.name}",
        )

    def _to_restore(self, dump: IO[bytes]) -> Iterable[bytes]:
        return clients.pieces(dump)

    @contextmanager
    def _client(self, name: str, database: SiteDatabase, *options: str) -> Iterator[clients.Client]:
        """Yield a client of the server's version, with the password file that it inherits."""
        with open_session(self.address, database=self._maintenance_database) as session:
            programs = clients.postgresql_programs(session.major)
        parameters = connection_parameters(self.address)
        names = {
            "host": "PGHOST",
            "port": "PGPORT",
            "sslmode": "PGSSLMODE",
            "sslrootcert": "PGSSLROOTCERT",
            "connect_timeout": "PGCONNECT_TIMEOUT",
        }
        with clients.inherited_file(_password_file(database.password)) as descriptor:
            environment = clients.client_environment(
                PGUSER=database.account,
                PGDATABASE=database.name,
                PGPASSFILE=f"/dev/fd/{descriptor}",
                **{names[name]: str(value) for name, value in parameters.items()},
            )
            yield clients.Client(
                [str(programs / name), "--no-password", *options], environment, descriptor
            )


def _password_file(password: Secret) -> str:
    escaped = password.reveal().replace("\\", "\\\\").replace(":", "\\:")
    return f"*:*:*:*:{escaped}\n"


def _is_read_only(session: Session) -> bool:
    ((recovering, read_only),) = session.ask(
        "SELECT pg_is_in_recovery(), current_setting('default_transaction_read_only')"
    )
    return bool(recovering) or read_only == "on"
