"""What SQL changes of a running Moodle shows on the next request, once its caches are dropped."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.moodle.running_site import RunningSite, running_site, site_kinds
from tests.web import Browser

from vmoodle.moodle.caches.access_flags import mark_user
from vmoodle.moodle.caches.invalidation import Change, invalidate
from vmoodle.moodle.config.names import parse_setting
from vmoodle.moodle.config.settings import set_settings, undo_of
from vmoodle.moodle.plugins.changes import set_state
from vmoodle.moodle.plugins.rules import PluginState
from vmoodle.moodle.roles.changes import apply_plan
from vmoodle.moodle.roles.definitions import RoleDefinition, read_roles
from vmoodle.moodle.roles.plan import Part, RolePlan, plan_permission, plan_role

pytestmark = pytest.mark.moodle

VIEW, OWN_PROFILE = "moodle/course:viewparticipants", "moodle/user:editownprofile"
PASSWORD = "A-Passw0rd!"
PREPARE = f"""
require_once($CFG->dirroot . '/user/lib.php');
require_once($CFG->dirroot . '/course/lib.php');
\\core\\session\\manager::set_user(get_admin());
$user = user_create_user(['username' => 'prover', 'password' => '{PASSWORD}', 'firstname' => 'Pro',
    'lastname' => 'Ver', 'email' => 'prover@example.test', 'confirmed' => 1, 'auth' => 'manual',
    'mnethostid' => $CFG->mnet_localhost_id, 'policyagreed' => 1]);
$made = [];
foreach (['Proved', 'Overridden'] as $name) {{
    $course = create_course((object)['fullname' => $name, 'shortname' => $name, 'category' => 1]);
    enrol_try_internal_enrol($course->id, $user,
        $DB->get_field('role', 'id', ['shortname' => 'student']));
    $made[] = (int)$course->id;
}}
assign_capability('{VIEW}', CAP_PREVENT, $DB->get_field('role', 'id', ['shortname' => 'student']),
    context_course::instance($made[1])->id, true);
echo json_encode($made);
"""


@dataclass(frozen=True)
class Proof:
    """A served site, a user logged in, a course, and one with an override."""

    site: RunningSite
    user: Browser
    course: int
    overridden: int

    def sees_participants(self, course: int) -> bool:
        return _is_allowed(self.user, f"/user/index.php?id={course}")

    def edits_own_profile(self) -> bool:
        return _is_allowed(self.user, "/user/edit.php")

    def apply(self, plan: RolePlan) -> tuple[RolePlan, frozenset[Change]]:
        with self.site.inside() as connection:
            applied = apply_plan(connection, plan)
        return applied.undo, applied.stale

    def overrides(self) -> list[tuple[object, ...]]:
        with self.site.inside() as connection:
            return list(
                connection.query(
                    "SELECT rc.id, rc.contextid, rc.capability, rc.permission, rc.timemodified"
                    " FROM {role_capabilities} rc JOIN {context} c ON c.id = rc.contextid"
                    " WHERE c.contextlevel > 10 ORDER BY rc.id"
                )
            )


def _is_allowed(browser: Browser, path: str) -> bool:
    page = browser.get(path)
    assert browser.is_logged_in()
    return page.status == 200 and 'data-rel="fatalerror"' not in page.text


@pytest.fixture(scope="module", params=site_kinds())
def proof(request: pytest.FixtureRequest, database_urls: dict[str, str]) -> Iterator[Proof]:
    tree: Path
    tree, server = request.param
    with running_site(tree, database_urls[server]) as site:
        course, overridden = json.loads(site.run(PREPARE))
        with site.served() as browser:
            browser.login("prover", PASSWORD)
            assert browser.is_logged_in()
            yield Proof(site, browser, course, overridden)


def test_a_user_loses_and_gains_a_capability_on_the_next_request(proof: Proof) -> None:
    assert proof.sees_participants(proof.course)
    assert not proof.sees_participants(proof.overridden)
    before = proof.overrides()
    with proof.site.inside() as connection:
        site = read_roles(connection)
    undo, stale = proof.apply(plan_permission("student", VIEW, None, site))
    # Moodle keeps what a role is in a cache: SQL alone is not seen.
    assert proof.sees_participants(proof.course)
    assert invalidate(proof.site.place, stale).stale == ()
    assert not proof.sees_participants(proof.course)

    undo, stale = proof.apply(RolePlan.from_data(json.loads(json.dumps(undo.as_data()))))
    invalidate(proof.site.place, stale)
    assert proof.sees_participants(proof.course)
    assert not proof.sees_participants(proof.overridden)
    assert proof.overrides() == before


def test_a_synced_role_is_what_its_holders_have_on_the_next_request(proof: Proof) -> None:
    with proof.site.inside() as connection:
        site = read_roles(connection)
    own = site.role("user")
    permissions = {name: value for name, value in own.permissions.items() if name != OWN_PROFILE}
    wanted = RoleDefinition("user", permissions=permissions)
    assert proof.edits_own_profile()
    undo, stale = proof.apply(plan_role(wanted, site, parts=[Part.PERMISSION]))
    invalidate(proof.site.place, stale)
    assert not proof.edits_own_profile()
    _done, stale = proof.apply(undo)
    invalidate(proof.site.place, stale)
    assert proof.edits_own_profile()
    with proof.site.inside() as connection:
        assert read_roles(connection) == site


def test_a_role_that_is_given_by_sql_counts_once_the_user_is_marked(proof: Proof) -> None:
    ours = "userid IN (SELECT id FROM {user} WHERE username = 'prover') AND contextid = 1"
    assert not proof.sees_participants(proof.overridden)
    with proof.site.inside() as connection:
        ((user,),) = connection.query("SELECT id FROM {user} WHERE username = 'prover'")
        connection.execute(
            "INSERT INTO {role_assignments} (roleid, contextid, userid, timemodified, modifierid,"
            " component, itemid, sortorder) SELECT id, 1, %s, 0, 2, '', 0, 0 FROM {role}"
            " WHERE shortname = 'manager'",
            (user,),
        )
    assert not proof.sees_participants(proof.overridden)
    with proof.site.inside() as connection:
        mark_user(connection, user)
    invalidate(proof.site.place, [Change.ROLE_ASSIGNMENTS])
    assert proof.sees_participants(proof.overridden)
    with proof.site.inside() as connection:
        connection.execute(f"DELETE FROM {{role_assignments}} WHERE {ours}")
        mark_user(connection, user)
    assert not proof.sees_participants(proof.overridden)


def test_moodle_itself_finds_a_made_role_right(proof: Proof) -> None:
    with proof.site.inside() as connection:
        site = read_roles(connection)
    student = site.role("student")
    wanted = RoleDefinition(
        "prover", "Prover", "Proves", "student", frozenset({50}), student.permissions,
        {allow: frozenset({"student"}) for allow in student.allows},
    )  # fmt: skip
    undo, stale = proof.apply(plan_role(wanted, site))
    invalidate(proof.site.place, stale)
    asked = proof.site.run(
        "$role = $DB->get_record('role', ['shortname' => 'prover']);"
        "$context = context_system::instance();"
        "$caps = role_context_capabilities($role->id, $context);"
        "echo json_encode([role_get_name($role), $role->archetype, count($caps),"
        " array_map(intval(...), array_values(get_role_contextlevels($role->id))),"
        " $DB->count_records('role_allow_view', ['roleid' => $role->id])]);"
    )
    assert json.loads(asked) == ["Prover", "student", len(student.permissions), [50], 1]
    proof.apply(undo)
    with proof.site.inside() as connection:
        assert read_roles(connection) == site


def test_a_setting_shows_on_the_next_request(proof: Proof) -> None:
    stranger = Browser(proof.user.server, proof.user.host)

    def is_sent_to_login() -> bool:
        page = stranger.get("/", follow=False)
        return "/login/index.php" in page.headers.get("location", "")

    assert not is_sent_to_login()
    with proof.site.inside() as connection:
        changes = set_settings(connection, {parse_setting("forcelogin"): "1"}, create=True)
    assert not is_sent_to_login()
    invalidate(proof.site.place, [Change.SETTINGS])
    assert is_sent_to_login()
    with proof.site.inside() as connection:
        set_settings(connection, undo_of(changes), create=True)
    invalidate(proof.site.place, [Change.SETTINGS])
    assert not is_sent_to_login()


@pytest.mark.parametrize("component", ["block_html", "enrol_self", "qtype_essay", "message_email"])
def test_a_plugins_state_is_moodles_own_in_the_next_process(proof: Proof, component: str) -> None:
    kind, _, name = component.partition("_")
    ask = (
        f"echo json_encode(isset(core_plugin_manager::instance()->get_enabled_plugins('{kind}')"
        f"['{name}']));"
    )
    for state in (PluginState.DISABLED, PluginState.ENABLED, PluginState.DISABLED):
        with proof.site.inside() as connection:
            change = set_state(connection, component, state)
        assert invalidate(proof.site.place, change.stale).stale == ()
        assert json.loads(proof.site.run(ask)) == (state == PluginState.ENABLED)
    with proof.site.inside() as connection:
        change = set_state(connection, component, PluginState.ENABLED)
    invalidate(proof.site.place, change.stale)
