"""Accounts of sites on MariaDB and MySQL: their password, their rights, their connections."""

from __future__ import annotations

from contextlib import suppress

from vmoodle.engines.address import ServerAddress
from vmoodle.engines.mariadb_connection import Session, open_session
from vmoodle.engines.mariadb_grants import SITE_PRIVILEGES, database_pattern
from vmoodle.engines.mariadb_sessions import end_own_connections
from vmoodle.engines.protocol import SiteDatabase
from vmoodle.errors import NotFound, Unavailable


class Accounts:
    """Change sites' accounts over one administrative session."""

    def __init__(self, session: Session, address: ServerAddress) -> None:
        self._session = session
        self._address = address

    def exists(self, account: str) -> bool:
        """Tell whether the account exists for the host part that sites' accounts have."""
        sql = "SELECT 1 FROM mysql.user WHERE user = %s AND host = %s"
        return bool(self._session.run(sql, (account, self._address.account_host)))

    def make(self, database: SiteDatabase) -> None:
        """Make the site's account, without any right."""
        self._identify("CREATE", database)

    def set_password(self, database: SiteDatabase) -> None:
        """Give the site's account the site's password."""
        self._identify("ALTER", database)

    def drop(self, account: str) -> None:
        """Remove an account; its open connections end with their next statement."""
        self._session.run(f"DROP USER IF EXISTS {self._quoted(account)}")

    def grant(self, database: SiteDatabase) -> None:
        """Let the site's account use the site's database, and no other."""
        pattern = database_pattern(self._session, database.name)
        self._session.run(
            f"GRANT {', '.join(SITE_PRIVILEGES)} ON {pattern}.* TO {self._quoted(database.account)}"
        )

    def revoke(self, database: SiteDatabase) -> None:
        """Take the account's rights on the database, when there is such an account."""
        if not self.exists(database.account):
            return
        # By name: REVOKE ALL, and SHOW GRANTS before it, take rights on the schema mysql.
        with suppress(NotFound):  # it has none
            self._session.run(
                f"REVOKE {', '.join(SITE_PRIVILEGES)}"
                f" ON {database_pattern(self._session, database.name)}.*"
                f" FROM {self._quoted(database.account)}"
            )

    def end_connections(self, database: SiteDatabase) -> None:
        """End the site's connections as the site itself: ending others' takes a right more."""
        try:
            with open_session(
                self._address, user=database.account, password=database.password
            ) as session:
                end_own_connections(session, database.name)
        except Unavailable as error:
            if error.code != "engine.login":
                raise

    def _quoted(self, account: str) -> str:
        return (
            f"{self._session.literal(account)}@{self._session.literal(self._address.account_host)}"
        )

    def _identify(self, verb: str, database: SiteDatabase) -> None:
        password = self._session.literal(database.password.reveal())
        self._session.run(f"{verb} USER {self._quoted(database.account)} IDENTIFIED BY {password}")
