"""What every engine does alike when databases are copied."""

from __future__ import annotations

from vmoodle.engines.address import ServerAddress
from vmoodle.engines.protocol import SiteDatabase
from vmoodle.engines.site_databases import SiteDatabases


class Copies(SiteDatabases):
    """Name anonymous databases."""

    address: ServerAddress

    def anonymous_database(self, name: str, prefix: str = "mdl_") -> SiteDatabase:
        """Name a database that belongs to the administrative account."""
        return SiteDatabase(name, self.address.user, self.address.password, prefix)

    def _is_administrative(self, database: SiteDatabase) -> bool:
        return database.account == self.address.user
