"""Changes of a site that meet another's: seen before they are written over, or waited for."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator

import pytest
from tests.changes_meanwhile import LIMIT, NEW, Site, setting, shared_site
from tests.engine_servers import Server

from vmoodle.engines.protocol import SiteConnection
from vmoodle.errors import Conflict, Unavailable, VMoodleError
from vmoodle.moodle.care.administrators import administrators, write_administrators
from vmoodle.moodle.config.copies import plan_copy, read_source
from vmoodle.moodle.config.names import parse_setting
from vmoodle.moodle.config.settings import left_by, read_settings, set_settings, undo_of
from vmoodle.moodle.copies.table_copy import TableChange, add_missing
from vmoodle.moodle.copies.table_copy import take_back as take_table_back
from vmoodle.moodle.database.site_schema import read_schema
from vmoodle.moodle.database.table_rows import TableSlice
from vmoodle.moodle.desired_state import (
    DesiredRole,
    DesiredState,
    SiteConfiguration,
    make_so,
    plan_state,
    take_back,
)
from vmoodle.moodle.files.file_area import (
    AreaContent,
    FileArea,
    plan_area,
    put_area,
    read_area,
)
from vmoodle.moodle.roles.definitions import RoleDefinition
from vmoodle.moodle.roles.plan import Part

pytestmark = pytest.mark.parametrize(
    "server", ["mariadb", "postgresql"], indirect=True, scope="session"
)
REPLY = "mod/forum:replypost"
FIELD = parse_setting("auth_ldap/field_lock_email")


@pytest.fixture
def site(server: Server) -> Site:
    """A Moodle of each engine."""
    return shared_site(server)


def test_a_setting_that_somebody_sets_after_it_was_looked_at_is_not_written_over(
    site: Site,
) -> None:
    with site.open() as connection:
        source = read_source(connection, ["auth_ldap"])
        set_settings(connection, {FIELD: "first"}, create=True)
    with pytest.raises(Conflict) as error, site.open() as connection:
        plan = plan_copy(connection, source, keep=True)
        site.change("UPDATE {config_plugins} SET value = 'theirs' WHERE name = 'field_lock_email'")
        set_settings(connection, plan.values, create=True, seen=plan.seen)
    assert error.value.code == "setting.changed"
    assert str(FIELD) in error.value.message
    assert site.ask("SELECT value FROM {config_plugins} WHERE name = 'field_lock_email'"
                    " AND plugin = 'auth_ldap'") == [("theirs",)]  # fmt: skip


def test_what_was_before_is_what_was_there_when_it_was_written(site: Site) -> None:
    site.change("UPDATE {config} SET value = '10' WHERE name = 'courseswithsummarieslimit'")
    with site.open() as connection:
        read_settings(connection, [LIMIT])
        theirs = "UPDATE {config} SET value = '11' WHERE name = 'courseswithsummarieslimit'"
        ours = site.meanwhile(connection, theirs)
        (change,) = set_settings(ours, {LIMIT: "12"})
    assert (change.old, setting(site)) == ("11", [("12",)])
    with pytest.raises(Conflict) as error, site.open() as connection:
        read_settings(connection, [LIMIT])
        ours = site.meanwhile(connection, theirs.replace("11", "13"))
        set_settings(ours, undo_of([change]), seen=left_by([change]))
    assert (error.value.code, setting(site)) == ("setting.changed", [("13",)])


def test_one_who_changes_a_setting_waits_for_another_and_then_minds_it(site: Site) -> None:
    site.change("UPDATE {config} SET value = '10' WHERE name = 'courseswithsummarieslimit'")
    told: list[VMoodleError] = []
    begun = threading.Event()

    def second() -> None:
        try:
            with site.open() as connection:
                begun.set()
                set_settings(connection, {LIMIT: "21"}, seen={LIMIT: "10"})
        except VMoodleError as error:
            told.append(error)

    with site.open() as connection:
        set_settings(connection, {LIMIT: "20"}, seen={LIMIT: "10"})
        thread = threading.Thread(target=second)
        thread.start()
        assert begun.wait(30)
    thread.join(60)
    assert [error.code for error in told] == ["setting.changed"]
    assert setting(site) == [("20",)]


def test_of_two_who_make_the_same_setting_one_is_told(site: Site) -> None:
    site.change("DELETE FROM {config_plugins} WHERE plugin = 'local_x'")
    theirs = (
        "INSERT INTO {config_plugins} (plugin, name, value) VALUES ('local_x', 'new', 'theirs')"
    )
    with pytest.raises(Conflict) as error, site.open() as connection:
        read_settings(connection, [NEW])
        # On MariaDB the one who has looked keeps the other from making it.
        ours = site.meanwhile(connection, theirs, "FOR UPDATE" if site.is_mariadb else "INSERT")
        set_settings(ours, {NEW: "ours"}, create=True, seen={NEW: None})
    assert error.value.code == "setting.changed"
    assert site.ask("SELECT value FROM {config_plugins} WHERE plugin = 'local_x'") == [("theirs",)]


def test_an_administrator_whom_somebody_adds_meanwhile_stays_one(site: Site) -> None:
    site.change("UPDATE {config} SET value = '2' WHERE name = 'siteadmins'")
    with pytest.raises(Conflict) as error, site.open() as connection:
        now = [one.id for one in administrators(connection)]
        site.change("UPDATE {config} SET value = '2,7' WHERE name = 'siteadmins'")
        write_administrators(connection, [*now, 8], 8, seen=now)
    assert error.value.code == "admin.changed"
    assert setting(site, "siteadmins") == [("2,7",)]


def test_an_order_of_administrators_that_somebody_sets_meanwhile_stays(site: Site) -> None:
    """The first one is the main administrator."""
    site.change("UPDATE {config} SET value = '2,7' WHERE name = 'siteadmins'")
    with pytest.raises(Conflict) as error, site.open() as connection:
        now = [one.id for one in administrators(connection)]
        site.change("UPDATE {config} SET value = '7,2' WHERE name = 'siteadmins'")
        write_administrators(connection, [*now, 8], 8, seen=now)
    assert error.value.code == "admin.changed"
    with site.open() as connection:
        theirs = "UPDATE {config} SET value = '7,2,9' WHERE name = 'siteadmins'"
        ours = site.meanwhile(connection, theirs)
        now = [one.id for one in administrators(ours, lock=True)]
        write_administrators(ours, [*now, 8], 8, seen=now)
    assert setting(site, "siteadmins") == [("7,2,9,8",)]


def test_a_role_that_somebody_changes_before_it_is_locked_is_read_as_it_is_then(
    site: Site,
) -> None:
    """The plan goes by what the other one left, and so does what takes it back."""
    where = (
        f"capability = '{REPLY}' AND roleid = (SELECT id FROM {{role}} WHERE shortname = '{{}}')"
    )
    where += " AND contextid = 1"
    student, teacher = (where.replace("{}", role) for role in ("student", "teacher"))
    for one in (student, teacher):
        site.change(f"UPDATE {{role_capabilities}} SET permission = 1 WHERE {one}")
    roles = (RoleDefinition(one, permissions={REPLY: -1}) for one in ("student", "teacher"))
    parts = frozenset({Part.PERMISSION})
    desired = DesiredState(roles=tuple(DesiredRole(one, parts, keep=True) for one in roles))
    configuration = SiteConfiguration()

    def change(one: str, value: int) -> str:
        return f"UPDATE {{role_capabilities}} SET permission = {value} WHERE {one}"

    with site.open() as connection:
        ours = site.meanwhile(connection, change(teacher, -1000), "{role} WHERE")
        plan = plan_state(ours, desired, configuration, lock=True)
        made = make_so(ours, plan, configuration)
    assert ours.met[0].endswith("FOR UPDATE")
    assert [(one.old, one.new) for plan in made.roles for one in plan.changes] == [
        (1, -1), (-1000, -1)
    ]  # fmt: skip
    with pytest.raises(Conflict) as error, site.open() as connection:
        ours = site.meanwhile(connection, change(student, -1000), "{role} WHERE")
        take_back(ours, made, configuration)
    assert error.value.code == "role.changed"
    permissions = "SELECT permission FROM {role_capabilities} WHERE "
    assert [site.ask(permissions + one) for one in (student, teacher)] == [[(-1000,)], [(-1,)]]


@pytest.fixture
def shelf(site: Site) -> Iterator[Site]:
    """A table that is filled up by its names, in one kind of its rows."""
    number = "BIGINT AUTO_INCREMENT" if site.is_mariadb else "BIGSERIAL"
    site.change(
        f"CREATE TABLE {{local_shelf}} (id {number} PRIMARY KEY, name VARCHAR(40), kind VARCHAR(9))"
    )
    site.change("INSERT INTO {local_shelf} (name, kind) VALUES ('there', 'old')")
    yield site
    site.change("DROP TABLE {local_shelf}")


def rows_in(site: Site, connection: SiteConnection, kind: str) -> TableSlice:
    columns = read_schema(connection, ["local_shelf"]).tables["local_shelf"]
    others = tuple(column for name, column in columns.items() if name != "id")
    return TableSlice("local_shelf", others, not site.is_mariadb, {"kind": kind})


def filled(site: Site, meanwhile: str) -> TableChange:
    """Add two rows after somebody else was done, once the copy has begun to look."""
    rows = [(1, "one", "new"), (2, "two", "new")]
    with site.open(one_moment=True) as connection:
        part = rows_in(site, connection, "new")
        connection.query("SELECT COUNT(*) FROM {local_shelf}")
        site.change(meanwhile)
        return add_missing(connection, part, [rows], "mdl_", ["name"])


def names(site: Site) -> list[str]:
    return [name for (name,) in site.ask("SELECT name FROM {local_shelf} ORDER BY name")]


def taken_back(site: Site, change: TableChange) -> None:
    with site.open(one_moment=True) as connection:
        part = rows_in(site, connection, "new")
        take_table_back(connection, part, json.loads(json.dumps(change.undo)), "mdl_")


@pytest.mark.parametrize("kind", ["new", "old"])
def test_a_row_that_somebody_adds_beside_those_of_a_copy_stays(shelf: Site, kind: str) -> None:
    change = filled(shelf, f"INSERT INTO {{local_shelf}} (name, kind) VALUES ('theirs', '{kind}')")
    assert names(shelf) == ["one", "theirs", "there", "two"]
    taken_back(shelf, change)
    assert names(shelf) == ["theirs", "there"]


def test_rows_of_a_copy_stay_when_one_of_them_was_changed_since(shelf: Site) -> None:
    change = filled(shelf, "UPDATE {local_shelf} SET name = 'THERE' WHERE name = 'there'")
    for sql in (
        "UPDATE {local_shelf} SET kind = 'old' WHERE name = 'two'",
        "UPDATE {local_shelf} SET kind = 'new', name = 'Two' WHERE name = 'two'",
        "DELETE FROM {local_shelf} WHERE name = 'Two'",
    ):
        shelf.change(sql)
        left = names(shelf)
        with pytest.raises(Conflict) as error:
            taken_back(shelf, change)
        assert (error.value.code, names(shelf)) == ("table.changed", left)


def test_a_file_that_somebody_stores_meanwhile_is_not_lost(site: Site) -> None:
    area, nothing = FileArea("core_admin", "logo"), AreaContent(())
    theirs = (
        "INSERT INTO {files} (contenthash, pathnamehash, contextid, component, filearea, itemid,"
        " filepath, filename, filesize, status, timecreated, timemodified, sortorder)"
        " SELECT 'a', 'b', id, 'core_admin', 'logo', 0, '/', 'theirs.png', 1, 0, 0, 0, 0"
        " FROM {context} WHERE contextlevel = 10"
    )
    put: list[AreaContent] = []

    def empty() -> None:
        with site.open() as connection:
            read_area(connection, FileArea("core_admin", "logocompact"))
            ours = site.meanwhile(connection, theirs, "FOR UPDATE" if site.is_mariadb else "DELETE")
            put.append(read_area(ours, area, lock=True))
            change = plan_area(ours, area, put[0], nothing, {})
            put_area(ours, area, put[0], nothing, change)

    if site.is_mariadb:
        empty()
        assert list(put[0].files) == ["/theirs.png"]
    else:
        with pytest.raises(Conflict) as error:
            empty()
        assert error.value.code == "filearea.changed"
        assert site.ask("SELECT filename FROM {files} WHERE pathnamehash = 'b'") != []


def test_a_server_that_refuses_a_lock_on_what_was_changed_since_is_tried_again(
    site: Site,
) -> None:
    """MariaDB from 11.6 on does so by itself."""
    if not site.is_mariadb:
        pytest.skip("a setting of MariaDB's")
    with pytest.raises(Unavailable) as error, site.open() as connection:
        connection.execute("SET SESSION innodb_snapshot_isolation = ON")
        read_settings(connection, [LIMIT])
        site.change("UPDATE {config} SET value = '31' WHERE name = 'courseswithsummarieslimit'")
        set_settings(connection, {LIMIT: "32"})
    assert (error.value.code, setting(site)) == ("engine.busy", [("31",)])
