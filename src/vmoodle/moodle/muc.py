"""Moodle's cache stores as a site's muc/config.php has them, read and never executed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vmoodle.moodle.php_source import assignments

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
    path = dataroot / "muc" / "config.php"
    if not path.exists():
        return []
    configuration = assignments(path.read_text(encoding="utf-8", errors="replace")).get(
        "$configuration"
    )
    stores = configuration.get("stores") if isinstance(configuration, dict) else None
    if not isinstance(stores, dict):
        return []
    found = []
    for store in stores.values():
        if not isinstance(store, dict):
            continue
        plugin = str(store.get("plugin", ""))
        if plugin in _SHARED:
            found.append(_shared(plugin, store.get("configuration"), table_prefix))
    return found


def _shared(plugin: str, options: Any, table_prefix: str) -> SharedStore:
    given = options if isinstance(options, dict) else {}
    place, default = _SHARED[plugin]
    fallback = table_prefix if default is None else default
    return SharedStore(
        plugin, str(given.get(place, "")) if place else "", str(given.get("prefix") or fallback)
    )
