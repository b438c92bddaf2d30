"""What a site's database says of the versions it is at, in two queries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vmoodle.engines.protocol import SiteConnection
from vmoodle.moodle.database.site_schema import VERSIONS_HASH, core_settings


@dataclass(frozen=True)
class SiteVersions:
    """Versions as Moodle wrote them at the end of its last installation or upgrade.

    `plugins` maps components to versions. `upgrade_ends` is until when an upgrade that is under
    way holds the site (Unix time, 0 for none), `cli_only` that no upgrade may begin on the web.
    """

    version: str
    release: str
    versions_hash: str
    components_hash: str
    upgrade_ends: int
    cli_only: bool
    plugins: Mapping[str, str]


def read_installed_at(connection: SiteConnection) -> int:
    """Return when the site was installed, in Unix time: what a copy has of its source; 0 unknown.

    It is when its front page was made (lib/db/install.php, 4.5 and 5.1).
    """
    rows = connection.query("SELECT MIN(timecreated) FROM {course} WHERE category = 0")
    return int(rows[0][0] or 0)


def read_site_versions(connection: SiteConnection) -> SiteVersions:
    """Return the versions that a site's database is at."""
    core = core_settings(
        connection, "version", "release", VERSIONS_HASH, "allcomponenthash", "upgraderunning",
        "outagelessupgrade",
    )  # fmt: skip
    ends = core.get("upgraderunning", "")
    return SiteVersions(
        version=core.get("version", ""),
        release=core.get("release", ""),
        versions_hash=core.get(VERSIONS_HASH, ""),
        components_hash=core.get("allcomponenthash", ""),
        upgrade_ends=int(ends) if ends.isdigit() else 0,
        cli_only=core.get("outagelessupgrade", "") not in ("", "0"),
        plugins={
            str(component): str(version)
            for component, version in connection.query(
                "SELECT plugin, value FROM {config_plugins} WHERE name = 'version'"
            )
            if "_" in str(component)
        },
    )
