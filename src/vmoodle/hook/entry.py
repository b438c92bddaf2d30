"""Compile a site into its entry of the host map: all the hook needs, merged beforehand."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from vmoodle.errors import InvalidInput
from vmoodle.hook.address import SiteAddress

FORMAT = 1
# Moodle makes files and directories with it: the web account and its group, nobody else.
DIRECTORY_PERMISSIONS = 0o2770

State = Literal["live", "suspended", "deploying"]

PROTECTED = frozenset(
    {
        "dbtype", "dblibrary", "dbhost", "dbname", "dbuser", "dbpass", "prefix", "dboptions",
        "wwwroot", "dataroot", "dirroot", "libdir", "root", "admin", "config_php_settings",
        "forced_plugin_settings", "sessioncookie", "sessioncookiepath", "sessioncookiedomain",
        "session_redis_prefix", "session_memcached_prefix", "altcacheconfigpath",
        "alternative_component_cache", "sslproxy",
    }
)  # fmt: skip
"""Settings that make a site what it is, or that two sites must not have alike: never forced."""

# behat_* and phpunit_* would make it another site (lib/setup.php, Moodle 4.5).
PROTECTED_PREFIXES = ("behat_", "phpunit_")

# Forced directories get the shortname appended: sites that share one lose each other's files.
# Source: config-dist.php and lib/filestorage/file_system_filedir.php, Moodle 4.5.
DIRECTORIES = frozenset(
    {
        "tempdir", "cachedir", "localcachedir", "localrequestdir", "backuptempdir", "filedir",
        "trashdir", "langotherroot", "langlocalroot", "secretdataroot", "file_lock_root",
        "session_file_save_path",
    }
)  # fmt: skip


@dataclass(frozen=True)
class PublishedSite:
    """Everything the map says of a site."""

    shortname: str
    codebase: str
    state: State
    address: SiteAddress
    dataroot: str
    database_config: Mapping[str, object]
    session_key: str
    forced_cfg: Mapping[str, object] = field(default_factory=dict)
    forced_plugins: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    retry_after: int = 300
    page: str | None = None
    component_cache: str | None = None
    aliases: tuple[str, ...] = ()
    sslproxy: bool = False

    def __repr__(self) -> str:
        return f"PublishedSite({self.shortname!r}, {self.state!r})"


def compile_entry(site: PublishedSite) -> dict[str, Any]:
    """Return the entry of a site as JSON will hold it; it has the database password in clear.

    Raise InvalidInput when a forced setting is one of VMoodle's own.
    """
    live = site.state == "live"
    return {
        "format": FORMAT,
        "shortname": site.shortname,
        "codebase": site.codebase,
        "state": site.state,
        # A live site's page is never shown; without it the file is read faster.
        **({} if live else {"retry_after": site.retry_after, "page": site.page}),
        "cfg": _cfg(site),
    }


def _cfg(site: PublishedSite) -> dict[str, object]:
    """Return `$CFG` as it stands before Moodle's `lib/setup.php`.

    The prefixes keep sites that share a host, a Redis or a memcached apart: Moodle 4.5,
    lib/classes/session/manager.php (cookies), redis.php and memcached.php beside it.
    """
    cfg: dict[str, object] = {
        "directorypermissions": DIRECTORY_PERMISSIONS,
        **{name: _forced(site, name, value) for name, value in site.forced_cfg.items()},
        **own_cfg(site.database_config, site.address.wwwroot, site.dataroot, site.session_key),
    }
    if site.address.segment:
        cfg["sessioncookiepath"] = f"{site.address.path}/"
    if site.forced_plugins:
        cfg["forced_plugin_settings"] = {k: dict(v) for k, v in site.forced_plugins.items()}
    if site.component_cache:
        cfg["alternative_component_cache"] = site.component_cache
    if site.sslproxy and site.address.scheme == "https":
        cfg["sslproxy"] = True
    return cfg


def own_cfg(
    database_config: Mapping[str, object], wwwroot: str, dataroot: str, session_key: str
) -> dict[str, object]:
    """Return what makes any site what it is; it has the database password in clear."""
    return {
        **database_config,
        "wwwroot": wwwroot,
        "dataroot": dataroot,
        "admin": "admin",
        "sessioncookie": session_key,
        "session_redis_prefix": f"{session_key}_",
        "session_memcached_prefix": f"{session_key}_",
    }


def _forced(site: PublishedSite, name: str, value: object) -> object:
    """Return what a forced setting is on this site; raise InvalidInput for one of VMoodle's own."""
    refuse_protected(name)
    if name in DIRECTORIES and isinstance(value, str) and value:
        return f"{value.rstrip('/')}/{site.shortname}"
    if name == "directorypermissions" and isinstance(value, str) and re.fullmatch("[0-7]+", value):
        return int(value, 8)
    return value


def refuse_protected(name: str) -> None:
    """Raise InvalidInput for a setting that is VMoodle's own to set."""
    if name in PROTECTED or name.startswith(PROTECTED_PREFIXES):
        raise InvalidInput(
            "forced.protected",
            f"$CFG->{name} makes the site what it is; it cannot be forced.",
            "VMoodle sets it from the registry.",
        )
