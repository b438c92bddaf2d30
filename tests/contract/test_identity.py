"""A copy with an identity of its own: real Moodle databases, cell by cell, on both engines."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from tests.engine_servers import Server
from tests.identity_content import (
    CONTENT,
    COPY,
    FRESH,
    NEWEST,
    PASSWORD,
    RANDOM,
    SIBLING,
    one,
    places,
    setting,
)

from fixtures import undone
from site_cells import MUST_DIFFER, Cells, cells, declared, differing
from vmoodle.engines.protocol import SiteConnection
from vmoodle.errors import Conflict, InvalidInput, Unavailable
from vmoodle.moodle.database.site_schema import read_schema
from vmoodle.moodle.identity.apply import read_ids
from vmoodle.moodle.identity.assume import assume
from vmoodle.moodle.identity.entry import Action
from vmoodle.moodle.identity.sanitise import POLICIES, apply
from vmoodle.moodle.identity.scrub import scrub
from vmoodle.moodle.identity.sha512_crypt import sha512_crypt
from vmoodle.moodle.identity.values import new_keys

pytestmark = pytest.mark.parametrize(
    "server", ["mariadb", "postgresql"], indirect=True, scope="session"
)


@pytest.mark.parametrize("name", [CONTENT, NEWEST])
@pytest.mark.parametrize("scrubbed", [True, False], ids=["template", "clone"])
def test_siblings_differ_in_the_declared_cells_and_in_no_other(
    server: Server, name: str, scrubbed: bool
) -> None:
    states: list[Cells] = []
    for identity in (None, COPY, SIBLING):
        with undone(server.engine, name) as connection:
            if scrubbed:
                scrub(connection, people=False)
            if identity is not None:
                assume(connection, identity, random_tasks=RANDOM)
            states.append(cells(connection))
    original, copy, sibling = states
    assert [cell for cell in differing(original, copy) if not declared(cell)] == []
    between = differing(copy, sibling)
    new = {Action.REGENERATE, Action.REDRAW, Action.BUMP}
    assert [cell for cell in between if not declared(cell, new)] == []
    must = MUST_DIFFER | {
        ("config", "core/supportemail", "value"),
        ("config", "core/geoip2file", "value"),
        ("config_plugins", "enrol_lti/lti_13_kid", "value"),
        ("config_plugins", "enrol_lti/lti_13_privatekey", "value"),
        ("config_plugins", "auth_shibboleth/auth_instructions", "value"),
        ("course", "1", "summary"),
        ("user", "2", "username"),
        ("adminpresets", "1", "site"),
    }
    assert must - between == set()
    assert must - differing(original, copy) == set()


def test_a_copy_is_who_it_is_told_to_be(server: Server) -> None:
    with undone(server.engine, FRESH) as connection:
        scrub(connection, people=False)
        report = assume(connection, COPY, random_tasks=RANDOM)
        identifier = setting(connection, "core", "siteidentifier")
        assert identifier == report.siteidentifier
        assert re.fullmatch(r"[A-Za-z0-9]{32}new\.example\.test", identifier or "")
        site = connection.query("SELECT fullname, shortname, summary FROM {course} WHERE id = 1")
        assert site == [(COPY.name, COPY.shortname, COPY.summary)]
        ((user, email, auth, stored),) = connection.query(
            "SELECT username, email, auth, password FROM {user} WHERE id = 2"
        )
        assert (user, email, auth) == ("boss", "boss@new.example.test", "manual")
        salt = stored.split("$")[3]
        assert stored == sha512_crypt(PASSWORD.reveal(), salt)
        host = connection.query(
            "SELECT wwwroot, ip_address, name, public_key, public_key_expires FROM {mnet_host}"
            " WHERE id = 1"
        )
        assert host == [(COPY.wwwroot, "UNKNOWN", "", "", 0)]
        assert setting(connection, "core", "noreplyaddress") == "noreply@new.example.test"
        assert setting(connection, "core", "geoip2file") == (
            "/srv/moodledata/new/geoip/GeoIP-City.mmdb"
        )
        assert COPY.wwwroot in str(setting(connection, "auth_shibboleth", "auth_instructions"))
        assert {row[0] for row in connection.query("SELECT site FROM {adminpresets}")} == {
            COPY.wwwroot
        }
        assert places(connection, "moodle.example.test") == []


def test_a_clone_keeps_its_people_history_and_connections(server: Server) -> None:
    with undone(server.engine, CONTENT) as connection:
        admin = "SELECT username, email, password FROM {user} WHERE id = 2"
        before = connection.query(admin)
        assume(connection, replace(COPY, admin_password=None, admin_email=None, summary=None))
        assert one(connection, "SELECT COUNT(*) FROM {user}") == 27
        assert connection.query(admin) == before
        assert setting(connection, "core", "smtppass") == "smtp-secret-a"
        assert one(connection, "SELECT COUNT(*) FROM {logstore_standard_log}") > 0
        for table in ("sessions", "external_tokens", "user_private_key"):
            assert one(connection, f"SELECT COUNT(*) FROM {{{table}}}") == 0


def test_random_times_are_drawn_again_unless_somebody_chose_them(server: Server) -> None:
    every = frozenset(
        (name, field)
        for name in (r"\core\task\tag_cron_task", r"\core\task\session_cleanup_task")
        for field in ("minute", "hour")
    )
    sql = (
        "SELECT minute, hour FROM {task_scheduled} WHERE classname LIKE '%core_task_tag_cron_task'"
    )
    with undone(server.engine, FRESH) as connection:
        drawn = set()
        for _ in range(8):
            assume(connection, COPY_WITH_KEYS, random_tasks=every, now=1_800_000_000.0)
            drawn.add(tuple(connection.query(sql)[0]))
        assert len(drawn) > 3
        # A star is no number, so it was never drawn.
        assert connection.query(
            "SELECT minute FROM {task_scheduled} WHERE classname LIKE '%session_cleanup_task'"
        ) == [("*",)]
        assert one(connection, "SELECT MIN(nextruntime) FROM {task_scheduled}") > 1_800_000_000
        connection.execute(
            "UPDATE {task_scheduled} SET customised = 1, minute = '7', hour = '5'"
            " WHERE classname LIKE '%core_task_tag_cron_task'"
        )
        assume(connection, COPY_WITH_KEYS, random_tasks=every, now=1_800_000_000.0)
        assert connection.query(sql) == [("7", "5")]


COPY_WITH_KEYS = replace(COPY, lti_keys=new_keys())


def test_running_work_of_the_original_does_not_go_on_in_the_copy(server: Server) -> None:
    with undone(server.engine, CONTENT) as connection:
        connection.execute("UPDATE {task_scheduled} SET timestarted = 5, pid = 7, faildelay = 60")
        connection.execute(
            "INSERT INTO {config} (name, value) VALUES ('upgraderunning', '1900000000')"
        )
        assume(connection, COPY_WITH_KEYS)
        assert setting(connection, "core", "upgraderunning") is None
        state = connection.query(
            "SELECT DISTINCT timestarted, pid, faildelay FROM {task_scheduled}"
        )
        assert state == [(None, None, 0)]
        tasks = {str(row[0]) for row in connection.query("SELECT classname FROM {task_adhoc}")}
        assert tasks == {
            r"\tool_moodlenet\task\post_install",
            r"\core\task\build_installed_themes_task",
        }


def test_caches_are_asked_to_be_made_again(server: Server) -> None:
    with undone(server.engine, CONTENT) as connection:
        old = int(str(setting(connection, "core", "themerev")))
        connection.execute("UPDATE {config} SET value = '-1' WHERE name = 'jsrev'")
        assume(connection, COPY_WITH_KEYS, now=float(old - 100))
        assert int(str(setting(connection, "core", "themerev"))) == old + 1
        assert setting(connection, "core", "jsrev") == "-1"


def test_rooms_and_tools_of_the_original_are_not_shared(server: Server) -> None:
    with undone(server.engine, FRESH) as connection:
        connection.execute(
            "INSERT INTO {lti} (name, toolurl, servicesalt) VALUES ('a', '', 'x'), ('b', '', 'x')"
        )
        connection.execute(
            "INSERT INTO {enrol_lti_tools} (enrolid, contextid, roleinstructor, rolelearner,"
            " secret, uuid, timecreated, timemodified) VALUES (1, 1, 1, 1, 's', 'u', 0, 0)"
        )
        scrub(connection, people=False)
        assume(connection, COPY_WITH_KEYS)
        salts = [row[0] for row in connection.query("SELECT servicesalt FROM {lti}")]
        assert len(set(salts)) == 2
        assert "x" not in salts
        ((secret, uuid),) = connection.query("SELECT secret, uuid FROM {enrol_lti_tools}")
        assert len(secret) == 32
        assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-a[0-9a-f]{3}-[0-9a-f]{12}", uuid)


def test_a_taken_user_name_and_a_long_name_are_refused(server: Server) -> None:
    with undone(server.engine, CONTENT) as connection:
        with pytest.raises(Conflict) as taken:
            assume(connection, replace(COPY_WITH_KEYS, admin_user="usera1"))
        assert taken.value.code == "identity.admin.taken"
        with pytest.raises(InvalidInput) as long:
            assume(connection, replace(COPY_WITH_KEYS, shortname="x" * 256))
        assert long.value.code == "identity.value.long"


def test_an_administrator_who_was_deleted_is_passed_over(server: Server) -> None:
    with undone(server.engine, CONTENT) as connection:
        connection.execute("UPDATE {config} SET value = '99,3,4' WHERE name = 'siteadmins'")
        connection.execute("UPDATE {user} SET deleted = 1 WHERE id = 3")
        assert read_ids(connection).admins == (4,)
        scrub(connection, people=False)
        assert connection.query("SELECT id FROM {user} ORDER BY id") == [(1,), (4,)]
        assert setting(connection, "core", "siteadmins") == "4"


def test_what_is_no_moodle_is_refused(server: Server) -> None:
    with undone(server.engine, FRESH) as connection:
        connection.execute("DELETE FROM {config} WHERE name = 'siteadmins'")
        with pytest.raises(Unavailable) as caught:
            read_ids(connection)
        assert caught.value.code == "identity.config"


def test_other_prefixes_and_missing_tables_are_taken(server: Server) -> None:
    if server.name != "postgresql":
        pytest.skip("renames hundreds of tables, which only PostgreSQL takes back")
    with undone(server.engine, FRESH) as connection:
        names = read_schema(connection).tables
        gone = {"mnet_session", "tool_mfa", "chat_messages", "adminpresets", "task_log"}
        for table in names:
            connection.execute(
                f"DROP TABLE {{{table}}}" if table in gone else
                f"ALTER TABLE {{{table}}} RENAME TO x9_{table}"
            )  # fmt: skip
        connection.execute("ALTER TABLE x9_task_scheduled DROP COLUMN pid")
        connection.execute("ALTER TABLE x9_user DROP COLUMN moodlenetprofile")
        other = Prefixed(connection, "x9_")
        assert scrub(other, people=False).rows > 1000
        assert assume(other, COPY_WITH_KEYS, random_tasks=RANDOM).rows > 20
        assert apply(other, POLICIES["anonymous"], "seed").rows > 0


class Prefixed:
    """Speak to tables of another prefix over an open connection."""

    def __init__(self, connection: SiteConnection, prefix: str) -> None:
        self._connection = connection
        self._prefix = prefix

    def _expand(self, sql: str) -> str:
        return re.sub(r"\{([a-z][a-z0-9_]*)\}", rf"{self._prefix}\1", sql)

    def query(self, sql: str, params: object = ()) -> object:
        return self._connection.query(self._expand(sql), params)  # type: ignore[arg-type]

    def execute(self, sql: str, params: object = ()) -> int:
        return self._connection.execute(self._expand(sql), params)  # type: ignore[arg-type]
