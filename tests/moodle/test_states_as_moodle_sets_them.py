"""Plugin states set by SQL leave the database as Moodle's own enable_plugin leaves it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.moodle.running_site import RunningSite, running_site, site_kinds

from vmoodle.engines.protocol import SiteConnection
from vmoodle.moodle.plugins.changes import set_state
from vmoodle.moodle.plugins.rules import FILTER_STATES, PluginState
from vmoodle.moodle.plugins.states import read_plugins, split

ON, OFF, AVAILABLE = PluginState.ENABLED, PluginState.DISABLED, PluginState.AVAILABLE
STEPS = (
    ("mod_page", OFF), ("mod_forum", OFF), ("mod_forum", ON), ("block_html", OFF),
    ("message_email", OFF), ("message_email", ON), ("message_popup", OFF),
    ("filter_tex", ON), ("filter_glossary", AVAILABLE), ("filter_emoticon", OFF),
    ("filter_algebra", AVAILABLE), ("filter_algebra", OFF), ("filter_tex", AVAILABLE),
    ("filter_multilang", ON), ("repository_upload", PluginState.HIDDEN),
    ("qbehaviour_adaptive", OFF), ("qbehaviour_interactive", OFF), ("qbehaviour_adaptive", ON),
    ("qtype_essay", OFF), ("qtype_match", OFF), ("qtype_essay", ON),
    ("auth_ldap", ON), ("auth_email", OFF), ("auth_db", ON), ("auth_ldap", OFF),
    ("format_social", OFF), ("format_weeks", OFF), ("format_social", ON),
    ("editor_tiny", OFF), ("editor_textarea", OFF), ("enrol_self", OFF), ("enrol_ldap", ON),
    ("assignsubmission_file", OFF), ("assignsubmission_file", ON),
    ("assignsubmission_onlinetext", OFF), ("assignfeedback_comments", OFF),
)  # fmt: skip
TABLES = {
    "config": "name, value",
    "config_plugins": "plugin, name, value",
    "config_log": "plugin, name, oldvalue, value, userid",
    "modules": "name, visible",
    "block": "name, visible",
    "course_modules": "id, visible, visibleold",
    "filter_active": "contextid, filter, active, sortorder",
    "message_processors": "name, enabled",
    "repository": "type, visible, sortorder",
    "sessions": "sid, userid",
    "cache_flags": "flagtype, name, value",
}
# What Moodle's own process leaves behind whatever it does.
PASSING = ("scheduledtaskreset", "lastcron", "siteidentifier")


Rows = dict[str, list[tuple[object, ...]]]


def rows(connection: SiteConnection) -> Rows:
    return {
        table: sorted(
            (row for row in connection.query(f"SELECT {columns} FROM {{{table}}}")
             if not set(PASSING) & {str(cell) for cell in row}),
            key=repr,
        )
        for table, columns in TABLES.items()
    }  # fmt: skip


def prepare(connection: SiteConnection) -> None:
    """Give the site what some of the steps are about."""
    for name, value in (
        ("registerauth", "email"),
        ("stringfilters", "emoticon,multilang"),
        ("auth", "email"),
        ("texteditors", "tiny,textarea"),
    ):
        connection.execute("DELETE FROM {config} WHERE name = %s", (name,))
        connection.execute("INSERT INTO {config} (name, value) VALUES (%s, %s)", (name, value))
    connection.execute("DELETE FROM {cache_flags}")  # fmt: skip
    # A session that ends with its way in, and none that ends by itself.
    connection.execute("DELETE FROM {sessions}")
    connection.execute("UPDATE {user} SET auth = 'email' WHERE id = 1")
    for user in (1, 2):
        connection.execute(
            "INSERT INTO {sessions} (state, sid, userid, timecreated, timemodified, firstip,"
            " lastip) VALUES (0, %s, %s, %s, %s, '', '')",
            (f"session{user}", user, int(time.time()), int(time.time())),
        )


def steps(connection: SiteConnection) -> list[tuple[str, PluginState]]:
    found = read_plugins(connection)
    return [(component, state) for component, state in STEPS if component in found]


def number(component: str, state: PluginState) -> int:
    if split(component)[0] == "filter":
        return FILTER_STATES[state]
    return int(state == ON)


def by_moodle(site: RunningSite, wanted: list[tuple[str, PluginState]]) -> None:
    calls = json.dumps([[*split(name), number(name, state)] for name, state in wanted])
    site.run(
        f"\\core\\session\\manager::set_user(get_admin()); foreach (json_decode('{calls}') as $s)"
        " { \\core_plugin_manager::resolve_plugininfo_class($s[0])::enable_plugin($s[1], $s[2]); }"
    )


def by_sql(site: RunningSite, wanted: list[tuple[str, PluginState]]) -> Rows:
    """Return what SQL leaves, and take it back."""

    class Undo(Exception):
        pass

    try:
        with site.inside() as connection:
            for name, state in wanted:
                set_state(connection, name, state)
            left = rows(connection)
            raise Undo  # noqa: TRY301 - an error is what ends a transaction without a trace
    except Undo:
        return left


@pytest.mark.moodle
@pytest.mark.parametrize("kind", site_kinds())
def test_sql_leaves_what_moodle_leaves(
    kind: tuple[Path, str], database_urls: dict[str, str]
) -> None:
    with running_site(kind[0], database_urls[kind[1]]) as site:
        with site.inside() as connection:
            prepare(connection)
            before, wanted = rows(connection), steps(connection)
        assert len(wanted) > 30
        ours = by_sql(site, wanted)
        with site.inside() as connection:
            assert rows(connection) == before
        by_moodle(site, wanted)
        with site.inside() as connection:
            moodles = rows(connection)
    assert moodles != before
    for table in TABLES:
        assert list(_differing(moodles[table], ours[table])) == [], table


def _differing(
    moodles: list[tuple[object, ...]], ours: list[tuple[object, ...]]
) -> Iterator[tuple[str, tuple[object, ...]]]:
    for row in moodles:
        if row not in ours:
            yield ("only Moodle's", row)
    for row in ours:
        if row not in moodles:
            yield ("only ours", row)
