"""Moodle's cache stores as a site's muc/config.php has them, read and never executed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vmoodle.moodle.caches.stores import CachePlace, CacheStore, all_stores

# Stores whose memory several sites can share, the setting that says where it is, and the prefix
# Moodle uses when none is set: cache/stores/{redis,apcu}/lib.php, Moodle 4.5. APCu is one memory
# for all sites of a PHP-FPM pool, and its default prefix is the table prefix.
_SHARED: dict[str, tuple[str, str | None]] = {
    "redis": ("server", ""),
    "apcu": ("", None),
}


@dataclass(frozen=True)
class SharedStore:
    """A cache store in memory that other sites may use too, and what keeps its entries apart."""

    plugin: str
    server: str
    prefix: str


def shared_stores(dataroot: Path, table_prefix: str) -> list[SharedStore]:
    """Return a site's stores in shared memory; none when Moodle has not written its file yet.

    Raise OSError when the file is there and cannot be read.
    """
    stores = all_stores(CachePlace(dataroot))
    return [_shared(store, table_prefix) for store in stores if store.plugin in _SHARED]


def _shared(store: CacheStore, table_prefix: str) -> SharedStore:
    place, default = _SHARED[store.plugin]
    fallback = table_prefix if default is None else default
    return SharedStore(
        store.plugin, store.option(place) if place else "", store.option("prefix") or fallback
    )
