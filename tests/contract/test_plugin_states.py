"""Plugins of real Moodle databases: read, compared, and their states set, on both engines."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.engine_servers import Server

from fixtures import undone
from trees import real_trees
from vmoodle.engines.protocol import SiteConnection
from vmoodle.errors import Conflict, InvalidInput, NotFound, Refused
from vmoodle.moodle.caches.invalidation import Change
from vmoodle.moodle.code.tree import MoodleTree
from vmoodle.moodle.config.names import parse_setting
from vmoodle.moodle.config.settings import read_settings, set_settings
from vmoodle.moodle.plugins.changes import set_state
from vmoodle.moodle.plugins.code import read_plugin_code
from vmoodle.moodle.plugins.order import ORDERS, read_orders, set_order
from vmoodle.moodle.plugins.plan import (
    PluginUndo,
    SitePlugins,
    apply_changes,
    apply_undo,
    plan_changes,
)
from vmoodle.moodle.plugins.rules import RULES, PluginState, states_of
from vmoodle.moodle.plugins.states import CodeState, read_plugins

pytestmark = pytest.mark.parametrize(
    "server", ["mariadb", "postgresql"], indirect=True, scope="session"
)

CONTENT, FRESH, NEWEST = "moodle-4.5.5-content", "moodle-4.5.5", "moodle-5.1.0"
ON, OFF = PluginState.ENABLED, PluginState.DISABLED


def state(connection: SiteConnection, component: str) -> PluginState | None:
    return read_plugins(connection)[component].state


def test_each_kind_tells_its_state(server: Server) -> None:
    with undone(server.engine, FRESH) as connection:
        found = read_plugins(connection)
    assert {
        name: found[name].state
        for name in (
            "mod_forum", "mod_chat", "block_html", "message_email", "filter_emoticon",
            "filter_tex", "qtype_essay", "qbehaviour_adaptive", "auth_manual", "auth_ldap",
            "format_topics", "editor_tiny", "enrol_manual", "enrol_ldap", "portfolio_download",
            "repository_upload", "repository_flickr", "assignsubmission_file",
            "assignfeedback_comments", "theme_boost",
        )
        if name in found
    } == {
        "mod_forum": ON, "mod_chat": OFF, "block_html": ON, "message_email": ON,
        "filter_emoticon": ON, "filter_tex": OFF, "qtype_essay": ON,
        "qbehaviour_adaptive": ON, "auth_manual": ON, "auth_ldap": OFF, "format_topics": ON,
        "editor_tiny": ON, "enrol_manual": ON, "enrol_ldap": OFF, "portfolio_download": OFF,
        "repository_upload": ON, "repository_flickr": OFF, "assignsubmission_file": ON,
        "assignfeedback_comments": ON, "theme_boost": None,
    }  # fmt: skip
    assert found["mod_forum"].code == CodeState.UNKNOWN


def test_every_kind_of_the_original_has_a_rule(server: Server) -> None:
    assert set(RULES) == {
        "mod", "block", "local", "message", "filter", "repository", "qbehaviour", "qtype",
        "portfolio", "auth", "format", "editor", "enrol", "assignsubmission", "assignfeedback",
    }  # fmt: skip
    assert states_of("filter") == (ON, PluginState.AVAILABLE, OFF)
    assert states_of("local") == states_of("theme") == ()


TOGGLED = {
    "mod_forum": {Change.PLUGIN_STATES},
    "block_html": {Change.PLUGIN_STATES},
    "message_email": {Change.PLUGIN_STATES, Change.MESSAGE_PROCESSORS},
    "qbehaviour_adaptive": {Change.PLUGIN_STATES, Change.SETTINGS},
    "qtype_essay": {Change.PLUGIN_STATES, Change.SETTINGS},
    "auth_ldap": {Change.PLUGIN_STATES, Change.SETTINGS},
    "format_social": {Change.PLUGIN_STATES, Change.SETTINGS},
    "editor_tiny": {Change.PLUGIN_STATES, Change.SETTINGS},
    "enrol_self": {Change.PLUGIN_STATES, Change.SETTINGS},
    "assignsubmission_file": {Change.PLUGIN_STATES, Change.SETTINGS},
    "assignfeedback_comments": {Change.PLUGIN_STATES, Change.SETTINGS},
    "filter_glossary": {Change.PLUGIN_STATES, Change.SETTINGS},
}


@pytest.mark.parametrize("component", TOGGLED)
def test_a_state_is_set_and_set_back(server: Server, component: str) -> None:
    with undone(server.engine, FRESH) as connection:
        first = state(connection, component)
        assert first is not None
        other = OFF if first == ON else ON
        for wanted in (other, first, other):
            change = set_state(connection, component, wanted)
            assert change.stale == TOGGLED[component]
            assert state(connection, component) == wanted
            assert set_state(connection, component, wanted).stale == frozenset()
        differing = {
            name: plugin.state
            for name, plugin in read_plugins(connection).items()
            if name != component
        }
    with undone(server.engine, FRESH) as connection:
        before = read_plugins(connection)
    assert differing == {name: p.state for name, p in before.items() if name != component}


def test_a_filter_has_three_states_and_its_place(server: Server) -> None:
    with undone(server.engine, FRESH) as connection:
        for wanted in (PluginState.AVAILABLE, ON, OFF, PluginState.AVAILABLE):
            set_state(connection, "filter_tex", wanted)
            assert state(connection, "filter_tex") == wanted
            orders = [
                row[0]
                for row in connection.query(
                    "SELECT sortorder FROM {filter_active} WHERE contextid = 1 ORDER BY sortorder"
                )
            ]
            assert orders == list(range(1, len(orders) + 1))


def test_a_hidden_activity_comes_back_as_it_was_in_each_course(server: Server) -> None:
    def shown(connection: SiteConnection) -> list[tuple[object, ...]]:
        return list(
            connection.query(
                "SELECT cm.id, cm.visible FROM {course_modules} cm JOIN {modules} m"
                " ON m.id = cm.module WHERE m.name = 'page' ORDER BY cm.id"
            )
        )

    with undone(server.engine, CONTENT) as connection:
        connection.execute(
            "UPDATE {course_modules} SET visible = 0, visibleold = 0 WHERE id ="
            " (SELECT id FROM (SELECT MIN(cm.id) AS id FROM {course_modules} cm JOIN {modules} m"
            " ON m.id = cm.module WHERE m.name = 'page') x)"
        )
        before = shown(connection)
        revisions = connection.query("SELECT SUM(cacherev) FROM {course}")[0][0]
        set_state(connection, "mod_page", OFF)
        assert {row[1] for row in shown(connection)} == {0}
        set_state(connection, "mod_page", ON)
        assert shown(connection) == before
        assert connection.query("SELECT SUM(cacherev) FROM {course}")[0][0] > revisions


def test_the_last_editor_is_the_plain_one(server: Server) -> None:
    with undone(server.engine, FRESH) as connection:
        setting = parse_setting("texteditors")
        set_settings(connection, {setting: "tiny,textarea"})
        for component in ("editor_textarea", "editor_tiny"):
            set_state(connection, component, OFF)
        assert read_settings(connection, [setting])[setting].stored == "textarea"


def test_a_way_in_that_is_closed_ends_its_sessions_and_registration(server: Server) -> None:
    register = parse_setting("registerauth")
    with undone(server.engine, CONTENT) as connection:
        set_state(connection, "auth_email", ON)
        set_settings(connection, {register: "email"}, create=True)
        connection.execute(
            "UPDATE {user} SET auth = 'email' WHERE id = (SELECT MIN(userid) FROM {sessions})"
        )
        before = connection.query("SELECT COUNT(*) FROM {sessions}")[0][0]
        set_state(connection, "auth_email", OFF)
        assert connection.query("SELECT COUNT(*) FROM {sessions}")[0][0] < before
        assert read_settings(connection, [register])[register].stored == ""


@pytest.mark.parametrize(
    ("component", "wanted", "code"),
    [
        ("mod_none", ON, "plugin.unknown"),
        ("theme_boost", OFF, "plugin.state"),
        ("mod_forum", PluginState.AVAILABLE, "plugin.state"),
        ("auth_manual", OFF, "plugin.state.fixed"),
        ("format_topics", OFF, "plugin.state.fixed"),
        ("mod_bigbluebuttonbn", ON, "plugin.state.api"),
        ("portfolio_download", ON, "plugin.state.api"),
        ("repository_flickr", ON, "plugin.state.api"),
        ("repository_upload", OFF, "plugin.state.api"),
    ],
)
def test_what_cannot_be_or_takes_moodles_code_is_refused(
    server: Server, component: str, wanted: PluginState, code: str
) -> None:
    with undone(server.engine, FRESH) as connection:
        before = read_plugins(connection)
        with pytest.raises((InvalidInput, NotFound, Refused)) as error:
            set_state(connection, component, wanted)
        assert error.value.code == code
        assert read_plugins(connection) == before


def test_an_activity_whose_code_is_asked_first_is_found_by_its_library(
    server: Server, tmp_path: Path
) -> None:
    (tmp_path / "lib.php").write_text("<?php function page_pre_enable_plugin_actions() {}")
    with undone(server.engine, FRESH) as connection:
        set_state(connection, "mod_page", OFF)
        with pytest.raises(Refused) as error:
            set_state(connection, "mod_page", ON, code=tmp_path)
        assert error.value.code == "plugin.state.api"


def test_a_list_that_config_php_forces_is_not_changed(server: Server) -> None:
    forced = {"core": {"auth": "ldap"}}
    with undone(server.engine, FRESH) as connection:
        assert read_plugins(connection, forced=forced)["auth_ldap"].state == ON
        with pytest.raises(Refused) as error:
            set_state(connection, "auth_ldap", OFF, forced=forced)
        assert error.value.code == "setting.forced"


def rows(connection: SiteConnection) -> dict[str, list[tuple[object, ...]]]:
    """Return all that a change of states and orders may touch, but for the list of changes."""
    queries = {
        "config": "SELECT name, value FROM {config} ORDER BY name",
        "config_plugins": "SELECT plugin, name, value FROM {config_plugins} ORDER BY plugin, name",
        "filter_active": "SELECT contextid, filter, active, sortorder FROM {filter_active}"
        " WHERE active <> -9999 ORDER BY contextid, sortorder",
        "modules": "SELECT name, visible FROM {modules} ORDER BY name",
        "block": "SELECT name, visible FROM {block} ORDER BY name",
        "repository": "SELECT type, visible, sortorder FROM {repository} ORDER BY sortorder",
    }
    return {name: list(connection.query(sql)) for name, sql in queries.items()}


def test_a_change_is_taken_back_to_the_last_row(server: Server) -> None:
    """States, what Moodle sets with them, and the place each plugin had."""
    with undone(server.engine, FRESH) as connection:
        for name, value in (
            ("auth", "ldap,email,db"), ("registerauth", "email"), ("texteditors", "tiny,textarea"),
            ("stringfilters", "emoticon"), ("filterall", "1"),
        ):  # fmt: skip
            set_settings(connection, {parse_setting(name): value}, create=True)
        set_state(connection, "filter_tex", ON)
        before = rows(connection)
        site = SitePlugins(connection, {})
        plan = plan_changes(
            site,
            {"auth_email": OFF, "editor_tiny": OFF, "filter_emoticon": OFF, "mod_forum": OFF,
             "enrol_self": OFF, "format_social": OFF},
            {"enrol": ("cohort", "guest", "manual")},
        )  # fmt: skip
        applied = apply_changes(site, plan)
        assert rows(connection) != before
        assert read_settings(connection, [parse_setting("registerauth")])[
            parse_setting("registerauth")
        ].stored == ""  # fmt: skip
        after = rows(connection)
        undo = PluginUndo.from_data(applied.undo.as_data())
        _plan, again = apply_undo(site, undo)
        assert rows(connection) == before
        # What was taken back can be made again by the same way.
        apply_undo(site, PluginUndo.from_data(again.undo.as_data()))
        assert rows(connection) == after


def test_what_somebody_else_changed_since_is_not_taken_back(server: Server) -> None:
    with undone(server.engine, FRESH) as connection:
        site = SitePlugins(connection, {})
        undo = apply_changes(site, plan_changes(site, {"mod_forum": OFF, "mod_page": OFF})).undo
        set_state(connection, "mod_page", ON)
        before = rows(connection)
        with pytest.raises(Conflict) as error:
            apply_undo(site, undo)
        assert (error.value.code, rows(connection)) == ("plugin.changed", before)
        assert "mod_page" in error.value.message


@pytest.mark.parametrize("kind", ORDERS)
def test_an_order_is_read_as_it_was_set(server: Server, kind: str) -> None:
    with undone(server.engine, FRESH) as connection:
        if kind == "auth":
            set_settings(connection, {parse_setting("auth"): "ldap,email"}, create=True)
        found = read_plugins(connection)
        names = [c.partition("_")[2] for c in found if c.startswith(f"{kind}_")]
        current = read_orders(connection, [kind], found)[kind] or tuple(names)
        wanted = tuple(reversed(current))
        assert len(wanted) > 1
        set_order(connection, kind, wanted)
        assert read_orders(connection, [kind], found)[kind] == wanted
        assert read_plugins(connection) == found


def test_states_and_orders_of_another_site_are_taken_over_where_both_have_them(
    server: Server,
) -> None:
    with undone(server.engine, NEWEST) as connection:
        newest = read_plugins(connection)
        orders = read_orders(connection, ORDERS, newest)
    wanted = {name: one.state for name, one in newest.items() if one.state is not None}
    with undone(server.engine, FRESH) as connection:
        site = SitePlugins(connection, {"enrol_manual": {}, "": {"auth": "ldap"}})
        for component in ("mod_forum", "filter_tex", "enrol_self"):
            set_state(connection, component, OFF if newest[component].state == ON else ON)
        plan = plan_changes(site, wanted | {"auth_ldap": OFF}, orders, skip=True)
        assert "forced" in plan.left["auth_ldap"]
        assert any("no plugin" in why for why in plan.left.values())
        apply_changes(site, plan)
        found = read_plugins(connection)
        assert {
            name for name, state in wanted.items()
            if name in found and found[name].state != state
        } <= set(plan.left)  # fmt: skip
        rest = plan_changes(site, wanted | {"auth_ldap": OFF}, orders, skip=True)
        assert (rest.states, rest.orders, rest.left) == ((), (), plan.left)


@pytest.mark.moodle
def test_versions_on_disk_are_held_against_those_installed(server: Server) -> None:
    tree = next((t for t in real_trees() if MoodleTree.open(t).version.series == "4.5"), None)
    if tree is None:
        pytest.skip("no real Moodle 4.5 (VMOODLE_MOODLE_TREES)")
    disk = dict(read_plugin_code(MoodleTree.open(tree)).versions)
    disk |= {"mod_forum": "2099010100", "local_new": "2024010100", "block_html": "2001010100"}
    del disk["mod_page"]
    with undone(server.engine, FRESH) as connection:
        found = read_plugins(connection, disk)
    assert {name: found[name].code for name in ("mod_forum", "local_new", "block_html")} == {
        "mod_forum": CodeState.UPGRADE,
        "local_new": CodeState.NOT_INSTALLED,
        "block_html": CodeState.DOWNGRADE,
    }
    assert found["mod_page"].code == CodeState.MISSING
    assert found["mod_quiz"].code in (CodeState.SAME, CodeState.UPGRADE)
