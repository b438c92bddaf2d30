"""What Moodle has cached of what SQL has changed: which caches to drop after which change, and how.

Call `invalidate` after the change's transaction has been committed: a request that fills a cache
earlier would keep the old values in it. Moodle has the same order (lib/moodlelib.php, set_config).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from vmoodle.errors import Unavailable, VMoodleError
from vmoodle.moodle.caches.file_store import drop_from_files
from vmoodle.moodle.caches.redis_store import drop_from_redis
from vmoodle.moodle.caches.stores import CachePlace, CacheStore, stores_of


class Change(StrEnum):
    """Name what was changed in a site's database."""

    SETTINGS = "settings"
    ROLES = "roles"
    ROLE_PERMISSIONS = "role permissions"
    ROLE_CONTEXT_LEVELS = "role context levels"
    ROLE_ALLOWS = "roles' allow tables"
    ROLE_ASSIGNMENTS = "role assignments"
    PLUGIN_STATES = "plugin states"
    MESSAGE_PROCESSORS = "message processors"
    THEMES = "themes' files"
    STRINGS = "language strings"


CACHES: Mapping[Change, tuple[str, ...]] = {
    # lib/moodlelib.php, set_config, unset_config; both tables have one cache.
    Change.SETTINGS: ("core/config",),
    # admin/roles/classes/define_role_table_advanced.php, save_changes: names of course contacts.
    Change.ROLES: ("core/coursecontacts",),
    # lib/accesslib.php, accesslib_clear_role_cache.
    Change.ROLE_PERMISSIONS: ("core/roledefs",),
    # lib/accesslib.php, set_role_contextlevels: read from the database each time.
    Change.ROLE_CONTEXT_LEVELS: (),
    # admin/roles/classes/allow_role_page.php, process_submission: the same.
    Change.ROLE_ALLOWS: (),
    # lib/accesslib.php, role_assign; besides, `access_flags.mark_user` in the same transaction.
    # core/coursecat is of each session: lists of courses there stay until the session's next login.
    Change.ROLE_ASSIGNMENTS: ("core/coursecontacts",),
    # lib/classes/plugin_manager.php, reset_caches.
    Change.PLUGIN_STATES: ("core/plugin_manager",),
    # message/classes/api.php, update_processor_status.
    Change.MESSAGE_PROCESSORS: ("core/message_processors_enabled",),
    # lib/outputlib.php, theme_reset_all_caches, theme_purge_used_in_context_caches; the revision is
    # a setting.
    Change.THEMES: (
        "core/config",
        "core/postprocessedcss",
        "core/themedesigner",
        "core/theme_usedincontext",
    ),
    # lib/classes/string_manager_standard.php, reset_caches; the revision is a setting.
    Change.STRINGS: ("core/config", "core/string", "core/langmenu"),
}
"""The application caches that hold what each change makes stale: Moodle 4.5 and 5.1."""

_REACHED = {"file": drop_from_files, "redis": drop_from_redis}

# Why VMoodle cannot drop a cache there, and what a person does instead.
_HINTS: Mapping[str, str] = {
    "apcu": "Its memory is the web server's PHP alone: reload PHP-FPM, or purge all caches in the "
    "site's administration.",
}
_HINT = "Purge them: vmoodle cache purge."


@dataclass(frozen=True)
class StaleStore:
    """A store that may still answer with what was before the change, and what to do about it."""

    store: str
    plugin: str
    caches: tuple[str, ...]
    error: VMoodleError


@dataclass(frozen=True)
class Invalidation:
    """Say what was dropped; the change shows on the next request unless something is `stale`."""

    caches: tuple[str, ...]
    stale: tuple[StaleStore, ...] = ()


def caches_of(changes: Iterable[Change]) -> tuple[str, ...]:
    """Return the application caches to drop after all these changes, each once, in order."""
    names = (name for change in Change if change in set(changes) for name in CACHES[change])
    return tuple(dict.fromkeys(names))


def invalidate(place: CachePlace, changes: Iterable[Change]) -> Invalidation:
    """Drop what a site's stores hold of what was changed; what cannot be is told, never raised.

    The change is committed by then: the site is right, and only late to say so.
    """
    return drop_caches(place, caches_of(changes))


def drop_caches(place: CachePlace, caches: tuple[str, ...]) -> Invalidation:
    """Drop the named application caches of a site; what cannot be is told, never raised."""
    if not caches:
        return Invalidation(caches)
    try:
        stores = stores_of(place, caches)
    except OSError as error:
        unread = Unavailable(
            "cache.configuration",
            f"{place.configuration_file} cannot be read: {error.strerror}.",
            "Let VMoodle's account read it.",
        )
        return Invalidation(caches, (StaleStore("", "", caches, unread),))
    stale = []
    for store, held in stores.items():
        try:
            _drop(place, store, held)
        except VMoodleError as error:
            stale.append(StaleStore(store.name, store.plugin, tuple(held), error))
    return Invalidation(caches, tuple(stale))


def _drop(place: CachePlace, store: CacheStore, caches: Sequence[str]) -> None:
    drop = _REACHED.get(store.plugin)
    if drop is None:
        raise Unavailable(
            "cache.store.unreached",
            f"VMoodle cannot reach the cache store {store.name} of the kind {store.plugin!r}.",
            _HINTS.get(store.plugin, _HINT),
        )
    drop(place, store, caches)
