"""What every engine does alike when databases are copied and compared."""

from __future__ import annotations

from vmoodle.engines import checksums
from vmoodle.engines.address import ServerAddress
from vmoodle.engines.protocol import SiteDatabase
from vmoodle.engines.site_databases import SiteDatabases


class Copies(SiteDatabases):
    """Name anonymous databases, and compare contents."""

    address: ServerAddress

    def anonymous_database(self, name: str, prefix: str = "mdl_") -> SiteDatabase:
        """Name a database that belongs to the administrative account."""
        return SiteDatabase(name, self.address.user, self.address.password, prefix)

    def table_checksums(self, database: SiteDatabase) -> dict[str, str]:
        """Return a checksum of each table by its name without the prefix."""
        with self.connect(database) as connection:
            return checksums.of_tables(self.address.engine, connection, database)

    def checksum(self, database: SiteDatabase) -> str:
        """Return one checksum of all tables."""
        return checksums.of_all(self.table_checksums(database))

    def _is_administrative(self, database: SiteDatabase) -> bool:
        return database.account == self.address.user
