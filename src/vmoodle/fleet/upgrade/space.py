"""Room for the safety copy of a site's database, where the server's disk can be seen from here."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

from vmoodle.engines.address import ServerAddress
from vmoodle.engines.disk import free_bytes
from vmoodle.moodle.upgrades.finding import UpgradeFinding, blocker, warning

if TYPE_CHECKING:
    from vmoodle.fleet.target_site import TargetSite


class CopySpace:
    """The free space of each database server, looked up once in a run; None is not known."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._free: dict[ServerAddress, int | None] = {}

    def check(self, site: TargetSite) -> tuple[int, UpgradeFinding | None]:
        """Return the bytes of the site's database, and what is wrong with the room for a copy.

        Raise Unavailable when the server does not answer.
        """
        size = site.engine.size(site.database.name)
        address = site.engine.address
        with self._lock:
            if address not in self._free:
                self._free[address] = free_bytes(site.engine)
            free = self._free[address]
        if free is None:
            return size, warning(
                "disk.unknown",
                "The disk of its database server cannot be seen from here.",
                "See that it has room for a copy of each site that is upgraded at one time.",
            )
        if free < size:
            return size, blocker(
                "disk.full",
                "The disk of its database server has no room for a copy of its database.",
                "Free space there.",
            )
        return size, None
