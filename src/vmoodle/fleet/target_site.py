"""One site as a command sees it: who it is, and a way to its database."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vmoodle.engines.protocol import Engine, SiteConnection, SiteDatabase
    from vmoodle.installation import Installation


@dataclass(frozen=True)
class TargetSite:
    """What a command is given of a site. It runs beside others: it changes nothing they share."""

    shortname: str
    wwwroot: str
    state: str
    release: str
    """Moodle's own, as `4.5.6+ (Build: 20250829)`."""
    engine: Engine = field(repr=False)
    database: SiteDatabase = field(repr=False)
    installation: Installation = field(repr=False)
    forced: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)
    """Settings forced on it, by component; '' is Moodle's core."""
    timeout: float = 60.0
    """Seconds the command may take on it."""

    @property
    def dialect(self) -> str:
        """The SQL its server speaks: `mariadb` (MySQL too) or `postgresql`."""
        return self.engine.address.engine

    def connect(
        self, *, read_only: bool = True, timeout: float | None = None
    ) -> AbstractContextManager[SiteConnection]:
        """Open its database as its own account, in one transaction, as `Engine.connect` does."""
        limit = timeout or self.timeout
        return self.engine.connect(self.database, read_only=read_only, statement_timeout=limit)
