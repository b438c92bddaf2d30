"""Where a site keeps what it caches: the stores of each application cache, from muc/config.php."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vmoodle.errors import NotFound, Refused, Unavailable
from vmoodle.moodle.php.source import Number, Value, assignments
from vmoodle.near import near

_APPLICATION = "1"
# What Moodle uses until it has written its file: cache/classes/config_writer.php,
# generate_default_cache_config, 4.5 and 5.1.
_DEFAULT_STORE = "default_application"


@dataclass(frozen=True)
class CachePlace:
    """Say where a site's caches and their configuration are.

    `cachedir` and `configuration` are `$CFG->cachedir` and `$CFG->altcacheconfigpath` where
    config.php sets them; else they lie in the dataroot.
    """

    dataroot: Path
    cachedir: Path | None = None
    configuration: Path | None = None

    @property
    def configuration_file(self) -> Path:
        """Return the file of Moodle's cache configuration (cache/classes/config.php)."""
        if self.configuration is None:
            return self.dataroot / "muc" / "config.php"
        if self.configuration.is_dir():
            return self.configuration / "cacheconfig.php"
        return self.configuration


@dataclass(frozen=True)
class CacheStore:
    """One store of a site; its options may hold a password, so that `repr` leaves them out."""

    name: str
    plugin: str
    options: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)

    def option(self, name: str) -> str:
        """Return an option as text, empty when it is not set."""
        return self.options.get(name, "")

    def is_on(self, name: str) -> bool:
        """Tell whether an option is set to what PHP takes for true."""
        return self.option(name).lower() not in ("", "0", "false", "null")


def all_stores(place: CachePlace) -> list[CacheStore]:
    """Return every store of the site's configuration; raise OSError when it cannot be read."""
    return list(_read(place.configuration_file)[0].values())


def stores_of(place: CachePlace, definitions: Iterable[str]) -> dict[CacheStore, list[str]]:
    """Return the stores that may hold the named caches (`core/config`), each with those it may.

    Raise OSError when the configuration is there and cannot be read.
    """
    stores, mappings, defaults = _read(place.configuration_file)
    found: dict[CacheStore, list[str]] = {}
    for definition in definitions:
        # A mapping to a store that is gone leaves the default ones: get_stores_for_definition().
        names = [name for mapped, name in mappings if mapped == definition and name in stores]
        for name in dict.fromkeys(names or defaults):
            found.setdefault(stores[name], []).append(definition)
    return found


def refuse_unknown_caches(place: CachePlace, definitions: Iterable[str]) -> None:
    """Raise for a cache that the site's configuration does not name; without one for none.

    NotFound `cache.unknown` with near names, Refused `cache.session` for one that is each user's
    own, Unavailable `cache.configuration`.
    """
    wanted = list(definitions)
    if not wanted:
        return
    try:
        configuration = _configuration(place.configuration_file)
    except OSError as error:
        raise Unavailable(
            "cache.configuration",
            f"{place.configuration_file} cannot be read: {error.strerror}.",
            "Let VMoodle's account read it.",
        ) from error
    modes = {
        _text(row.get("key")): _text(row.get("mode"))
        for row in _rows(configuration.get("definitions"))
    }
    for name in wanted:
        if modes and name not in modes:
            raise NotFound(
                "cache.unknown",
                f"The site has no cache {name}.",
                near(name, modes, "Its page of caches names them."),
            )
        if modes.get(name, _APPLICATION) != _APPLICATION:
            raise Refused(
                "cache.session",
                f"The cache {name} is each user's own, or of one request: nothing to drop there.",
                "End the sessions: vmoodle session kill.",
            )


def _read(path: Path) -> tuple[dict[str, CacheStore], list[tuple[str, str]], list[str]]:
    default = CacheStore(_DEFAULT_STORE, "file")
    configuration = _configuration(path)
    if not configuration:
        return {default.name: default}, [], [default.name]
    stores = {}
    for row in _rows(configuration.get("stores")):
        name = _text(row.get("name")) or _text(row.get("key"))
        options = row.get("configuration")
        given = options if isinstance(options, dict) else {}
        stores[name] = CacheStore(
            name, _text(row.get("plugin")), {key: _text(value) for key, value in given.items()}
        )
    if not stores:
        stores = {default.name: default}
    modes = [
        _text(row.get("store"))
        for row in _rows(configuration.get("modemappings"))
        if _text(row.get("mode")) == _APPLICATION
    ]
    mappings = [
        (_text(row.get("definition")), _text(row.get("store")))
        for row in _rows(configuration.get("definitionmappings"))
    ]
    defaults = [name for name in modes if name in stores]
    # Without a mapping nothing is cached, unless the file is one of the sandbox's short ones.
    return stores, mappings, defaults or [name for name in stores if name == default.name]


def _configuration(path: Path) -> dict[str, Value]:
    """Return what the file assigns, nothing where it is not there or assigns none."""
    try:
        source = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return {}
    found = assignments(source).get("$configuration")
    return found if isinstance(found, dict) else {}


def _rows(value: Value) -> Iterator[dict[str, Value]]:
    pairs: Iterable[tuple[str, Value]] = (
        value.items() if isinstance(value, dict) else _numbered(value)
    )
    for key, row in pairs:
        if isinstance(row, dict):
            yield {"key": key, **row}


def _numbered(value: Value) -> Iterator[tuple[str, Value]]:
    """Give the members of a list with their places as PHP's keys."""
    for at, row in enumerate(value if isinstance(value, list) else []):
        yield str(at), row


def _text(value: Value) -> str:
    if isinstance(value, Number):
        return value.text
    return value if isinstance(value, str) else ""
