"""Settings that a new site has from the start: written before it is published."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vmoodle.engines.protocol import SiteConnection
from vmoodle.errors import Failed
from vmoodle.installation import Installation
from vmoodle.lifecycle.script import run_on_one
from vmoodle.moodle.database.site_schema import marks
from vmoodle.operations.plan import Step, StepContext
from vmoodle.registry import operations, sites
from vmoodle.secret import Secret

# Where PHP keeps what it has read of the settings (lib/setup.php, cache/stores/file 4.5).
_CACHES = ("cache", "muc", "localcache")


@dataclass(frozen=True)
class NewSettings:
    """Core settings, settings by component, and the description; they may hold passwords."""

    config: Mapping[str, str] = field(default_factory=dict, repr=False)
    plugins: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)
    description: str = ""

    def __bool__(self) -> bool:
        """Tell whether there is anything to write."""
        return bool(self.config or self.plugins or self.description)

    def encrypted(self, installation: Installation) -> str:
        """Return them for an operation, which keeps them apart and forgets them when it ends."""
        members = {
            "config": dict(self.config),
            "plugins": {name: dict(values) for name, values in self.plugins.items()},
            "description": self.description,
        }
        return installation.encrypt(Secret(json.dumps(members)))


def _write(context: StepContext) -> None:
    token = operations.find(context.operation_id).settings_encrypted
    if not token:
        return
    installation, site = context.installation, sites.find(context.site)
    settings = NewSettings(**json.loads(installation.keyring.decrypt(token).reveal()))
    engine = installation.engine(site.server)
    with engine.connect(installation.site_database(site), read_only=False) as connection:
        for name, value in settings.config.items():
            _put(connection, "config", {"name": name}, value)
        for component, values in settings.plugins.items():
            for name, value in values.items():
                _put(connection, "config_plugins", {"plugin": component, "name": name}, value)
        if settings.description:
            connection.execute(
                "UPDATE {course} SET summary = %s WHERE category = 0", (settings.description,)
            )
    count = len(settings.config) + sum(map(len, settings.plugins.values()))
    context.say(f"{count} settings written" + ("; description" if settings.description else ""))
    # A copy on which PHP never ran has no caches; the installer's are emptied.
    if any((Path(site.dataroot) / name).is_dir() for name in _CACHES):
        result = run_on_one(installation, context.site, ["admin/cli/purge_caches.php"])
        if result.exit_status != 0:
            raise Failed(
                "site.settings.caches",
                f"Moodle's caches could not be purged (status {result.exit_status}).",
                result.output[-300:] or "PHP's error log says more.",
            )


def _put(connection: SiteConnection, table: str, key: Mapping[str, str], value: str) -> None:
    condition = " AND ".join(f"{column} = %s" for column in key)
    touched = connection.query(
        f"SELECT id FROM {{{table}}} WHERE {condition}",  # noqa: S608
        tuple(key.values()),
    )
    if touched:
        connection.execute(
            f"UPDATE {{{table}}} SET value = %s WHERE {condition}",  # noqa: S608
            (value, *key.values()),
        )
        return
    columns = ", ".join((*key, "value"))
    values = (*key.values(), value)
    connection.execute(
        f"INSERT INTO {{{table}}} ({columns}) VALUES ({marks(values)})",  # noqa: S608
        values,
    )


SETTINGS = Step("settings", "write the settings asked for", _write)
