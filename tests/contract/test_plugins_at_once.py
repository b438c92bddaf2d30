"""States and orders of plugins that somebody else changes at the same time, on real servers."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from tests.changes_meanwhile import Before, Site, setting, shared_site
from tests.engine_servers import Server

from vmoodle.engines.protocol import SiteConnection
from vmoodle.errors import Conflict, Unavailable
from vmoodle.moodle.plugins.plan import (
    Applied,
    PluginPlan,
    SitePlugins,
    apply_changes,
    apply_undo,
    plan_changes,
)
from vmoodle.moodle.plugins.rules import PluginState
from vmoodle.moodle.plugins.states import SitePlugin

pytestmark = pytest.mark.parametrize(
    "server", ["mariadb", "postgresql"], indirect=True, scope="session"
)


@pytest.fixture
def site(server: Server) -> Site:
    """A Moodle of each engine."""
    return shared_site(server)


AUTH = "UPDATE {config} SET value = '%s' WHERE name = 'auth'"
FILTERS = "SELECT filter FROM {filter_active} WHERE contextid = 1 ORDER BY sortorder, id"
ON, OFF = PluginState.ENABLED, PluginState.DISABLED


@dataclass(frozen=True)
class Looked(SitePlugins):
    """Plugins that were read before the server fails."""

    known: dict[str, SitePlugin] = field(default_factory=dict)

    def found(self) -> dict[str, SitePlugin]:
        return self.known


def plugins_plan(
    connection: SiteConnection, states: dict[str, PluginState], order: tuple[str, ...] = ()
) -> PluginPlan:
    return plan_changes(SitePlugins(connection, {}), states, {"filter": order} if order else {})


def plugins_set(site: Site, states: dict[str, PluginState]) -> Applied:
    with site.open() as connection:
        plan = plugins_plan(connection, states)
        return apply_changes(SitePlugins(connection, {}), plan)


def test_a_plugin_that_somebody_enables_meanwhile_stays_enabled(site: Site) -> None:
    site.change(AUTH % "email")
    told = ""
    try:
        with site.open() as connection:
            plan = plugins_plan(connection, {"auth_oauth2": ON})
            site.change(AUTH % "email,ldap")
            apply_changes(SitePlugins(connection, {}), plan)
    except Conflict as error:
        told = error.code
    # On PostgreSQL what is there by then is seen, and added to.
    wanted = ("plugin.changed", "email,ldap") if site.is_mariadb else ("", "email,ldap,oauth2")
    assert (told, setting(site, "auth")) == (wanted[0], [(wanted[1],)])


def test_a_fault_of_the_server_is_no_plugin_that_is_left(site: Site) -> None:
    def ends() -> None:
        raise Unavailable("engine.timeout", "The statement took too long.")

    with site.open() as connection:
        states = {"auth_oauth2": OFF if "oauth2" in setting(site, "auth")[0][0] else ON}
        ours = Before(connection, ("FROM {config} WHERE (name",), ends)
        found = SitePlugins(connection, {}).found()
        with pytest.raises(Unavailable):
            plan_changes(Looked(ours, {}, known=found), states, skip=True)
        assert ours.met


def test_what_takes_a_plugin_back_leaves_what_somebody_enables_meanwhile(site: Site) -> None:
    site.change(AUTH % "email")
    undo = plugins_set(site, {"auth_oauth2": ON}).undo
    with site.open() as connection:
        # The one who comes first, and before anything was read, is minded.
        ours = site.meanwhile(connection, AUTH % "email,oauth2,ldap")
        apply_undo(SitePlugins(ours, {}), undo)
    assert setting(site, "auth") == [("email,ldap",)]


def test_a_filter_that_somebody_adds_meanwhile_is_told(site: Site) -> None:
    site.change("DELETE FROM {filter_active} WHERE filter = 'theirs'")
    with site.open() as connection:
        now = plugins_plan(connection, {"filter_tex": ON}, ("emoticon",)).orders
        order = tuple(name for (name,) in connection.query(FILTERS))
    assert now == ()
    theirs = (
        "INSERT INTO {filter_active} (filter, contextid, active, sortorder)"
        " VALUES ('theirs', 1, 1, 99)"
    )
    on = [name for name in order if name in ("emoticon", "mathjaxloader", "displayh5p")]
    with pytest.raises(Conflict) as error, site.open() as connection:
        plan = plugins_plan(connection, {}, tuple(reversed(on)))
        assert plan.orders
        site.change(theirs)
        apply_changes(SitePlugins(connection, {}), plan)
    assert error.value.code == "plugin.changed"
    left = tuple(name for (name,) in site.ask(FILTERS) if name != "theirs")
    assert left == order
    site.change("DELETE FROM {filter_active} WHERE filter = 'theirs'")
