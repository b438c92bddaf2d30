"""What a site is to be, made so and taken back to the last row, on both engines."""

from __future__ import annotations

import pytest
from tests.contract.test_plugin_states import rows
from tests.engine_servers import Server

from fixtures import undone
from vmoodle.engines.protocol import SiteConnection
from vmoodle.errors import Conflict
from vmoodle.moodle.config.names import parse_setting
from vmoodle.moodle.config.settings import set_settings
from vmoodle.moodle.desired_state import (
    DesiredState,
    Made,
    SiteConfiguration,
    make_so,
    plan_state,
    take_back,
)
from vmoodle.moodle.plugins.changes import set_state
from vmoodle.moodle.plugins.order import read_orders, set_order
from vmoodle.moodle.plugins.rules import PluginState

pytestmark = pytest.mark.parametrize(
    "server", ["mariadb", "postgresql"], indirect=True, scope="session"
)

FRESH, SITE = "moodle-4.5.5", SiteConfiguration()
OFF, ON = PluginState.DISABLED, PluginState.ENABLED
STATES = {"filter_emoticon": OFF, "filter_tex": ON, "filter_urltolink": PluginState.AVAILABLE}


def filters(connection: SiteConnection) -> None:
    """Put filters in an order, let one work in headings, and turn it off in one course."""
    names = ("urltolink", "emoticon", "mathjaxloader", "mediaplugin")
    for name in names:
        set_state(connection, f"filter_{name}", ON)
    current = read_orders(connection, ["filter"], ())["filter"]
    set_order(connection, "filter", (*names, *sorted({*current} - {*names})))
    connection.execute(
        "INSERT INTO {filter_active} (filter, contextid, active, sortorder)"
        " SELECT 'emoticon', id, -1, 0 FROM {context} WHERE contextlevel = 50"
    )
    values = {parse_setting("stringfilters"): "emoticon", parse_setting("filterall"): "1"}
    set_settings(connection, values, create=True)


def made(connection: SiteConnection, desired: DesiredState) -> Made:
    return make_so(connection, plan_state(connection, desired, SITE, create=True, lock=True), SITE)


def test_filters_come_back_with_their_places_headings_and_what_courses_have(
    server: Server,
) -> None:
    with undone(server.engine, FRESH) as connection:
        filters(connection)
        before = rows(connection)
        done = made(connection, DesiredState(plugins=STATES))
        after = rows(connection)
        assert after != before
        back = take_back(connection, done, SITE)
        assert rows(connection) == before
        # What was taken back can be made again by the same way.
        take_back(connection, back, SITE)
        assert rows(connection) == after


def test_a_setting_that_a_state_has_changed_first_goes_back_to_what_it_was(
    server: Server,
) -> None:
    with undone(server.engine, FRESH) as connection:
        values = {parse_setting("auth"): "email,ldap", parse_setting("registerauth"): "email"}
        set_settings(connection, values, create=True)
        before = rows(connection)
        wanted = {parse_setting("registerauth"): "ldap"}
        done = made(connection, DesiredState(wanted, plugins={"auth_email": OFF}))
        assert rows(connection) != before
        take_back(connection, done, SITE)
        assert rows(connection) == before


def test_a_filter_that_somebody_has_moved_since_stays_where_it_is(server: Server) -> None:
    with undone(server.engine, FRESH) as connection:
        filters(connection)
        done = made(connection, DesiredState(plugins=STATES))
        connection.execute("UPDATE {filter_active} SET sortorder = 9 WHERE filter = 'urltolink'")
        with pytest.raises(Conflict) as error:
            take_back(connection, done, SITE)
        assert error.value.code == "plugin.changed"
