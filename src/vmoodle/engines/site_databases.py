"""What every engine does alike with one site's database; how it is done is the engine's own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO

from vmoodle.engines import clients
from vmoodle.engines.protocol import SiteConnection, SiteDatabase
from vmoodle.engines.refusals import not_empty


class SiteDatabases(ABC):
    """Open, dump and restore sites' databases by the ways of an engine."""

    @abstractmethod
    def tables(self, database: SiteDatabase) -> list[str]:
        """Return the names of its tables in order, prefix included."""

    @abstractmethod
    def _open(
        self,
        database: SiteDatabase,
        *,
        read_only: bool,
        statement_timeout: float | None,
        one_moment: bool,
    ) -> AbstractContextManager[SiteConnection]:
        """Log in as the site's account and keep one transaction until the end of the `with`."""

    @abstractmethod
    def _dumping(self, database: SiteDatabase) -> AbstractContextManager[clients.Client]:
        """Yield the client that writes a consistent dump to its output; writers go on."""

    @abstractmethod
    def _restoring(self, database: SiteDatabase) -> AbstractContextManager[clients.Client]:
        """Yield the client that loads a dump from its input."""

    @abstractmethod
    def _to_restore(self, dump: IO[bytes]) -> Iterable[bytes]:
        """Return what of a dump the client is given."""

    def connect(
        self,
        database: SiteDatabase,
        *,
        read_only: bool = True,
        statement_timeout: float | None = None,
        one_moment: bool = False,
    ) -> AbstractContextManager[SiteConnection]:
        """Open the site's database as the site's account, in one transaction."""
        return self._open(
            database,
            read_only=read_only,
            statement_timeout=statement_timeout,
            one_moment=one_moment,
        )

    def dump(self, database: SiteDatabase, path: Path) -> None:
        """Write a consistent dump with the engine's own tool; writers to the site go on."""
        with self._dumping(database) as client, clients.new_private_file(path) as file:
            client.run(stdout=file)

    def restore(self, path: Path, database: SiteDatabase) -> None:
        """Load a dump into the database; raise Conflict when that is not empty."""
        with clients.existing_dump(path) as file:
            if self.tables(database):
                raise not_empty(database.name)
            with self._restoring(database) as client:
                client.run(stdin=self._to_restore(file))

    def _copy_by_dump(self, source: SiteDatabase, target: SiteDatabase) -> None:
        """Copy a site's database into an empty one through a file without a name.

        A process that is killed leaves nothing of it: it holds all that the site holds.
        """
        with clients.nameless_file() as file:
            with self._dumping(source) as client:
                client.run(stdout=file)
            file.seek(0)
            with self._restoring(target) as client:
                client.run(stdin=self._to_restore(file))
