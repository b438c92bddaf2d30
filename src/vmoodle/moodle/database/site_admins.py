"""Who administers a site by its setting `siteadmins`: ids of users, the main one first."""

from __future__ import annotations

from vmoodle.engines.protocol import SiteConnection
from vmoodle.moodle.database.site_schema import core_settings

SITE_ADMINS = "siteadmins"


def administrator_ids(text: str | None) -> list[int]:
    """Return the ids that the setting's text names, each once; what is no id is passed over."""
    words = [word.strip() for word in (text or "").split(",")]
    return list(dict.fromkeys(int(word) for word in words if word.isdigit() and int(word)))


def read_administrator_ids(connection: SiteConnection) -> list[int]:
    """Return the ids that the site's database names; some may be no users any more."""
    return administrator_ids(core_settings(connection, SITE_ADMINS).get(SITE_ADMINS))


def first_administrator(connection: SiteConnection) -> int:
    """Return the id of the site's first administrator, 0 where it names none."""
    return next(iter(read_administrator_ids(connection)), 0)
