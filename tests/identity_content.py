"""What the tests of a site's identity look for in its database, and whom copies are told to be."""

from __future__ import annotations

from dataclasses import replace

from site_cells import cells
from vmoodle.engines.protocol import SiteConnection
from vmoodle.moodle.identity.values import NewIdentity
from vmoodle.secret import Secret

CONTENT, NEWEST, FRESH = "moodle-4.5.5-content", "moodle-5.1.0", "moodle-4.5.5"
PASSWORD = Secret("A pässword 1!")
COPY = NewIdentity(
    wwwroot="https://new.example.test/sub",
    name='Ünï\'s "site"; {config} 100%',
    shortname="nü",
    dataroot="/srv/moodledata/new",
    summary="What it is",
    admin_user="boss",
    admin_email="boss@new.example.test",
    admin_password=PASSWORD,
)
SIBLING = replace(
    COPY,
    wwwroot="http://sibling.example.test",
    name="Sibling",
    shortname="sib",
    dataroot="/srv/moodledata/sib",
    summary="Another",
    admin_user="chief",
    admin_email="chief@sibling.example.test",
    admin_password=Secret("Other 2-word"),
)
RANDOM = frozenset(
    {(r"\core\task\tag_cron_task", "minute"), (r"\core\task\stats_cron_task", "hour")}
)


def texts(connection: SiteConnection) -> dict[str, str]:
    """Return all text of the database by table and column, for searching."""
    found: dict[str, list[str]] = {}
    for (table, key, column), value in cells(connection).items():
        if isinstance(value, str) and value:
            where = key if table.startswith("config") else column
            found.setdefault(f"{table}.{where}", []).append(value)
    return {where: "\n".join(values) for where, values in found.items()}


def places(connection: SiteConnection, needle: str) -> list[str]:
    return sorted(where for where, text in texts(connection).items() if needle in text)


def setting(connection: SiteConnection, component: str, name: str) -> str | None:
    rows = (
        connection.query("SELECT value FROM {config} WHERE name = %s", (name,))
        if component == "core"
        else connection.query(
            "SELECT value FROM {config_plugins} WHERE plugin = %s AND name = %s", (component, name)
        )
    )
    return str(rows[0][0]) if rows else None


def one(connection: SiteConnection, sql: str) -> object:
    return connection.query(sql)[0][0]


def planted_secrets(connection: SiteConnection) -> dict[str, str]:
    """Return what the content fixture hides, by what it is; each is in the database now."""
    secrets = {
        name: f"{name}-secret-a"
        for name in ("smtp", "proxy", "cron", "ldap", "extdb", "api", "oauth")
    }
    secrets |= {
        "token": str(one(connection, "SELECT token FROM {external_tokens}")),
        "private token": str(one(connection, "SELECT privatetoken FROM {external_tokens}")),
        "private key": str(one(connection, "SELECT value FROM {user_private_key}")),
        "session": str(one(connection, "SELECT sid FROM {sessions}")),
        "client": str(one(connection, "SELECT clientid FROM {oauth2_issuer}")),
        "adhoc task": "asynchronous_backup_task",
        "admin's password": str(one(connection, "SELECT password FROM {user} WHERE id = 2")),
    }
    for component, name in (
        ("core", "siteidentifier"),
        ("core", "calendar_exportsalt"),
        ("core", "badges_badgesalt"),
        ("mod_lti", "kid"),
        ("enrol_lti", "lti_13_kid"),
    ):
        secrets[name] = str(setting(connection, component, name))
    for component, name in (
        ("mod_lti", "privatekey"),
        ("enrol_lti", "lti_13_privatekey"),
        ("mnet", "openssl"),
    ):
        # A line of its own from the middle: no other key has it.
        secrets[name] = str(setting(connection, component, name)).splitlines()[-9]
    everything = "\n".join(texts(connection).values())
    for what, value in secrets.items():
        assert len(value) > 4, what
        assert value in everything, f"the fixture has no {what}"
    return secrets
