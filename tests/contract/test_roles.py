"""Roles of real Moodle databases: read, compared, synced and taken back, on both engines."""

from __future__ import annotations

import json

import pytest
from tests.engine_servers import Server

from fixtures import undone
from vmoodle.engines.protocol import SiteConnection
from vmoodle.errors import Conflict, NotFound, Refused
from vmoodle.moodle.caches.invalidation import Change
from vmoodle.moodle.roles.allows import allows_column, plan_allows
from vmoodle.moodle.roles.changes import apply_plan
from vmoodle.moodle.roles.comparison import CellState, Row, column_of, compare_columns
from vmoodle.moodle.roles.definitions import (
    Allow,
    Permission,
    RoleDefinition,
    SiteRoles,
    read_roles,
)
from vmoodle.moodle.roles.plan import (
    Part,
    RolePlan,
    capabilities_of,
    plan_permission,
    plan_role,
)

pytestmark = pytest.mark.parametrize(
    "server", ["mariadb", "postgresql"], indirect=True, scope="session"
)

CONTENT, FRESH, NEWEST = "moodle-4.5.5-content", "moodle-4.5.5", "moodle-5.1.0"
DELETE, BACKUP = "moodle/course:delete", "moodle/backup:backupcourse"


def overrides(connection: SiteConnection) -> list[tuple[object, ...]]:
    """Return every row of role_capabilities below the system context."""
    return list(
        connection.query(
            "SELECT rc.id, rc.roleid, rc.contextid, rc.capability, rc.permission, rc.timemodified"
            " FROM {role_capabilities} rc JOIN {context} c ON c.id = rc.contextid"
            " WHERE c.contextlevel <> 10 ORDER BY rc.id"
        )
    )


def roles_of(server: Server, name: str) -> SiteRoles:
    with undone(server.engine, name) as connection:
        return read_roles(connection)


def compared(role: str, sites: dict[str, SiteRoles], against: str = "") -> list[Row]:
    """Return the rows in which any site stands out."""
    columns = {name: column_of(role, site) for name, site in sites.items()}
    rows = compare_columns(columns, columns[against] if against else None)
    return [row for row in rows if row.differing]


def test_a_role_is_read_with_all_that_defines_it(server: Server) -> None:
    site = roles_of(server, CONTENT)
    assert site.shortnames[:4] == ("manager", "coursecreator", "editingteacher", "teacher")
    teacher = site.role("editingteacher")
    assert (teacher.archetype, teacher.context_levels) == ("editingteacher", {50, 70})
    assert teacher.permissions[DELETE] == Permission.ALLOW
    assert teacher.permissions[BACKUP] == Permission.PREVENT
    assert "student" in teacher.allows[Allow.ASSIGN]
    assert all("mentora" in teacher.allows[allow] for allow in Allow)
    assert site.capabilities[DELETE].context_level == 50
    assert site.capabilities["mod/quiz:view"].component == "mod_quiz"


def test_a_role_the_site_has_not_is_told_with_those_it_has(server: Server) -> None:
    with undone(server.engine, FRESH) as connection:
        site = read_roles(connection, ["Student", "nobody"])
        assert dict(site.roles) == {}
        with pytest.raises(NotFound) as error:
            site.role("nobody")
    assert error.value.code == "role.unknown"
    assert "editingteacher" in error.value.hint


def test_exactly_the_planted_cells_differ_between_two_sites(server: Server) -> None:
    sites = {name: roles_of(server, name) for name in (FRESH, CONTENT)}
    rows = compared("editingteacher", sites, against=FRESH)
    states = {row.name: row.states[CONTENT] for row in rows}
    assert states == {DELETE: CellState.PERMISSION, BACKUP: CellState.PERMISSION}
    assert all(row.differing == (CONTENT,) for row in rows)


def test_the_majority_decides_and_a_site_stands_out_for_every_reason(server: Server) -> None:
    fresh = roles_of(server, FRESH)
    with undone(server.engine, FRESH) as connection:
        connection.execute(
            "UPDATE {capabilities} SET contextlevel = 70 WHERE name = %s", ("moodle/grade:view",)
        )
        connection.execute("DELETE FROM {capabilities} WHERE name = 'mod/quiz:view'")
        connection.execute(
            "DELETE FROM {role_capabilities} WHERE capability = 'mod/forum:replypost'"
        )
        connection.execute(
            "UPDATE {role_capabilities} SET permission = -1000 WHERE capability = %s",
            ("mod/choice:choose",),
        )
        other = read_roles(connection)
    rows = compared("student", {"a": fresh, "b": other, "c": fresh})
    assert {row.name: row.states["b"] for row in rows} == {
        "moodle/grade:view": CellState.CONTEXT_LEVEL,
        "mod/quiz:view": CellState.UNKNOWN,
        "mod/forum:replypost": CellState.MISSING,
        "mod/choice:choose": CellState.PERMISSION,
    }


def test_a_site_without_the_role_is_told_and_another_moodle_version_compares(
    server: Server,
) -> None:
    sites = {name: roles_of(server, name) for name in (CONTENT, FRESH, NEWEST)}
    (mentor,) = compared("mentora", sites, against=CONTENT)
    assert (mentor.name, mentor.differing) == ("role", (FRESH, NEWEST))
    student = compared("student", sites)
    assert any(row.states[NEWEST] == CellState.UNKNOWN for row in student)
    # That one site has a role more is no difference of this one.
    assert not [row.name for row in student if row.name.startswith("allow")]


def test_a_sync_makes_the_role_the_sources_and_leaves_course_overrides(server: Server) -> None:
    source = roles_of(server, FRESH)
    with undone(server.engine, CONTENT) as connection:
        before = overrides(connection)
        assert before
        for role in ("editingteacher", "student"):
            plan = plan_role(source.role(role), read_roles(connection))
            applied = apply_plan(connection, plan)
            assert applied.done == plan
            assert read_roles(connection).role(role) == source.role(role)
        assert overrides(connection) == before


def test_a_sync_tells_what_moodle_has_cached_and_who_changed_it_when(server: Server) -> None:
    source = roles_of(server, FRESH)
    with undone(server.engine, CONTENT) as connection:
        plan = plan_role(
            source.role("editingteacher"), read_roles(connection), roles_known=source.shortnames
        )
        assert {(c.part, c.key, c.old, c.new) for c in plan.changes} == {
            (Part.PERMISSION, DELETE, 1, None),
            (Part.PERMISSION, BACKUP, -1, 1),
        }
        assert apply_plan(connection, plan).stale == {Change.ROLE_PERMISSIONS}
        row = connection.query(
            "SELECT rc.timemodified > 1790000000, rc.modifierid FROM {role_capabilities} rc"
            " JOIN {role} r ON r.id = rc.roleid"
            " WHERE r.shortname = 'editingteacher' AND rc.contextid = 1 AND rc.capability = %s",
            (BACKUP,),
        )[0]
        assert (bool(row[0]), row[1]) == (True, 2)


def test_the_same_plan_twice_changes_nothing_the_second_time(server: Server) -> None:
    source = roles_of(server, FRESH)
    with undone(server.engine, CONTENT) as connection:
        plan = plan_role(source.role("editingteacher"), read_roles(connection))
        apply_plan(connection, plan)
        again = apply_plan(connection, plan)
        assert (again.done.changes, again.stale) == ((), frozenset())
        assert plan_role(source.role("editingteacher"), read_roles(connection)).changes == ()


def test_the_undo_is_data_and_brings_every_cell_back(server: Server) -> None:
    source = roles_of(server, FRESH)
    with undone(server.engine, CONTENT) as connection:
        before = read_roles(connection)
        for role in ("editingteacher", "student", "manager"):
            applied = apply_plan(connection, plan_role(source.role(role), before))
            stored = json.loads(json.dumps(applied.undo.as_data()))
            apply_plan(connection, RolePlan.from_data(stored))
        assert read_roles(connection) == before


def test_a_missing_role_is_made_with_a_free_sortorder_and_taken_back(server: Server) -> None:
    source = roles_of(server, CONTENT)
    with undone(server.engine, NEWEST) as connection:
        before = read_roles(connection)
        plan = plan_role(source.role("mentora"), before)
        applied = apply_plan(connection, plan)
        made = read_roles(connection).role("mentora")
        wanted = source.role("mentora")
        known = set(before.capabilities)
        assert made.permissions == {k: v for k, v in wanted.permissions.items() if k in known}
        assert (made.name, made.description, made.archetype, made.context_levels) == (
            wanted.name, wanted.description, wanted.archetype, wanted.context_levels,
        )  # fmt: skip
        orders = [row[0] for row in connection.query("SELECT sortorder FROM {role}")]
        assert len(set(orders)) == len(orders)
        assert Change.ROLES in applied.stale
        apply_plan(connection, applied.undo)
        assert read_roles(connection) == before
        assert apply_plan(connection, applied.undo).done.changes == ()


def test_a_made_role_that_somebody_has_is_not_taken_back(server: Server) -> None:
    source = roles_of(server, CONTENT)
    with undone(server.engine, FRESH) as connection:
        applied = apply_plan(connection, plan_role(source.role("mentora"), read_roles(connection)))
        connection.execute(
            "INSERT INTO {role_assignments} (roleid, contextid, userid, timemodified, modifierid,"
            " component, itemid, sortorder) SELECT id, 1, 2, 0, 2, '', 0, 0 FROM {role}"
            " WHERE shortname = 'mentora'"
        )
        with pytest.raises(Refused) as error:
            apply_plan(connection, applied.undo)
    assert error.value.code == "role.used"


def test_a_capability_the_site_does_not_know_is_skipped_and_told(server: Server) -> None:
    with undone(server.engine, FRESH) as connection:
        site = read_roles(connection)
        student = site.role("student")
        wanted = RoleDefinition(
            **{**vars(student), "permissions": {**student.permissions, "local/none:such": 1}}
        )
        plan = plan_role(wanted, site)
        assert plan.changes == ()
        assert [(s.part, s.key) for s in plan.skipped] == [(Part.PERMISSION, "local/none:such")]
        # One that went between plan and apply.
        late = plan_permission("student", DELETE, Permission.ALLOW, site)
        connection.execute("DELETE FROM {capabilities} WHERE name = %s", (DELETE,))
        assert [s.key for s in apply_plan(connection, late).done.skipped] == [DELETE]


def test_one_capability_is_set_changed_and_removed(server: Server) -> None:
    with undone(server.engine, FRESH) as connection:
        for permission in (Permission.ALLOW, Permission.PROHIBIT, None, None):
            site = read_roles(connection, ["student"])
            apply_plan(connection, plan_permission("student", DELETE, permission, site))
            now = read_roles(connection, ["student"]).role("student").permissions
            assert now.get(DELETE) == permission
            assert len(now) == len(site.role("student").permissions) + (
                (permission is not None) - (DELETE in site.role("student").permissions)
            )


def test_a_role_that_was_changed_after_the_plan_is_not_overwritten(server: Server) -> None:
    with undone(server.engine, FRESH) as connection:
        site = read_roles(connection)
        plan = plan_permission("student", DELETE, Permission.ALLOW, site)
        other = plan_permission("student", DELETE, Permission.PREVENT, site)
        apply_plan(connection, other)
        with pytest.raises(Conflict) as error:
            apply_plan(connection, plan)
        assert error.value.code == "role.changed"
        assert read_roles(connection).role("student").permissions[DELETE] == Permission.PREVENT


def test_only_the_parts_asked_for_are_synced(server: Server) -> None:
    with undone(server.engine, FRESH) as connection:
        site = read_roles(connection)
        wanted = RoleDefinition("student", "Lernende", "Wörter, 'quotes'", "student", frozenset())
        plan = plan_role(wanted, site, parts=[Part.NAME, Part.DESCRIPTION])
        apply_plan(connection, plan)
        now = read_roles(connection).role("student")
        assert (now.name, now.description) == ("Lernende", "Wörter, 'quotes'")
        assert now.permissions == site.role("student").permissions
        assert now.context_levels == site.role("student").context_levels


def test_the_capabilities_of_one_component_are_synced_alone(server: Server) -> None:
    source = roles_of(server, FRESH)
    with undone(server.engine, FRESH) as connection:
        connection.execute(
            "DELETE FROM {role_capabilities} WHERE capability LIKE 'mod/quiz:%%' AND roleid = %s",
            (3,),
        )
        connection.execute(
            "DELETE FROM {role_capabilities} WHERE capability = %s AND roleid = %s", (BACKUP, 3)
        )
        site = read_roles(connection)
        quiz = capabilities_of("mod_quiz", source, site)
        apply_plan(
            connection,
            plan_role(source.role("editingteacher"), site, parts=[Part.PERMISSION], only=quiz),
        )
        left = plan_role(source.role("editingteacher"), read_roles(connection))
        assert [change.key for change in left.changes] == [BACKUP]


def test_without_remove_nothing_goes(server: Server) -> None:
    site = roles_of(server, FRESH)
    wanted = RoleDefinition("student", archetype="student", permissions={DELETE: 1})
    plan = plan_role(wanted, site, parts=[Part.PERMISSION], remove=False)
    assert [(change.key, change.new) for change in plan.changes] == [(DELETE, 1)]


def test_context_levels_are_synced(server: Server) -> None:
    with undone(server.engine, FRESH) as connection:
        site = read_roles(connection)
        wanted = RoleDefinition("student", context_levels=frozenset({40, 50}))
        applied = apply_plan(connection, plan_role(wanted, site, parts=[Part.CONTEXT_LEVEL]))
        assert read_roles(connection).role("student").context_levels == {40, 50}
        assert applied.stale == {Change.ROLE_CONTEXT_LEVELS}


def test_allow_tables_are_compared_and_synced_by_shortname(server: Server) -> None:
    fresh = roles_of(server, FRESH)
    with undone(server.engine, FRESH) as connection:
        connection.execute("DELETE FROM {role_allow_assign}")
        connection.execute(
            "INSERT INTO {role_allow_switch} (roleid, allowswitch) SELECT a.id, b.id FROM {role} a,"
            " {role} b WHERE a.shortname = 'student' AND b.shortname = 'guest'"
        )
        changed = read_roles(connection)
        columns = {name: allows_column(site) for name, site in (("a", fresh), ("b", changed))}
        rows = [row for row in compare_columns(columns, columns["a"]) if row.differing]
        assert {row.name.split()[2] for row in rows} == {"assign", "switch"}
        assert "student may switch guest" in {row.name for row in rows}
        assert all(row.differing == ("b",) for row in rows)
        for plan in plan_allows(fresh, changed):
            assert apply_plan(connection, plan).stale == {Change.ROLE_ALLOWS}
        assert read_roles(connection) == fresh


def test_a_pair_of_roles_that_the_site_has_not_is_skipped(server: Server) -> None:
    content, fresh = roles_of(server, CONTENT), roles_of(server, FRESH)
    plans = plan_allows(content, fresh, touching=["mentora"])
    assert plans
    assert all(plan.changes == () and plan.skipped for plan in plans)
    # Of a role that the source has not, nothing is taken away.
    assert all(plan.role != "mentora" for plan in plan_allows(fresh, content))


def test_who_may_assign_a_made_role_is_synced_with_it(server: Server) -> None:
    content = roles_of(server, CONTENT)
    with undone(server.engine, FRESH) as connection:
        apply_plan(connection, plan_role(content.role("mentora"), read_roles(connection)))
        connection.execute("DELETE FROM {role_allow_view} WHERE allowview = 5")
        for plan in plan_allows(content, read_roles(connection), touching=["mentora"]):
            apply_plan(connection, plan)
        now = read_roles(connection)
        for allow in Allow:
            givers = {r.shortname for r in content.roles.values() if "mentora" in r.allows[allow]}
            assert {
                r.shortname for r in now.roles.values() if "mentora" in r.allows[allow]
            } == givers
        assert "student" not in now.role("manager").allows[Allow.VIEW]
