"""Scrubbed, assumed and sanitised: real Moodle databases, cell by cell, on both engines."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from tests.engine_servers import Server

from fixtures import undone
from site_cells import MUST_DIFFER, Cells, cells, declared, differing
from vmoodle.engines.protocol import SiteConnection
from vmoodle.errors import Conflict, InvalidInput, Unavailable
from vmoodle.moodle.database.site_schema import read_schema
from vmoodle.moodle.identity.apply import read_ids
from vmoodle.moodle.identity.assume import assume
from vmoodle.moodle.identity.entry import Action
from vmoodle.moodle.identity.people import BOUND, FATE_BY_COLUMN, Fate
from vmoodle.moodle.identity.people_removal import fates
from vmoodle.moodle.identity.sanitise import POLICIES, apply
from vmoodle.moodle.identity.scrub import scrub
from vmoodle.moodle.identity.sha512_crypt import sha512_crypt
from vmoodle.moodle.identity.unjudged import personal_columns, secret_columns
from vmoodle.moodle.identity.values import NewIdentity, new_keys
from vmoodle.secret import Secret

pytestmark = pytest.mark.parametrize(
    "server", ["mariadb", "postgresql"], indirect=True, scope="session"
)

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


# ---- templates


@pytest.mark.parametrize("people", [True, False], ids=["with_people", "without_people"])
def test_no_planted_secret_is_left_in_a_template(server: Server, people: bool) -> None:
    with undone(server.engine, CONTENT) as connection:
        secrets = planted_secrets(connection)
        scrub(connection, people=people)
        found = texts(connection)
        left = {
            what: [where for where, text in found.items() if value in text]
            for what, value in secrets.items()
        }
        assert {what: where for what, where in left.items() if where} == {}


def test_a_template_of_a_fresh_site_does_not_know_its_address(server: Server) -> None:
    for name in (FRESH, NEWEST):
        with undone(server.engine, name) as connection:
            assert places(connection, "moodle.example.test")
            scrub(connection, people=False)
            assert places(connection, "moodle.example.test") == []
            assert places(connection, "/moodledata/") == []


def test_scrubbing_again_finds_nothing(server: Server) -> None:
    with undone(server.engine, CONTENT) as connection:
        assert scrub(connection, people=False).rows > 1000
        assert scrub(connection, people=False).changes == ()


def test_without_people_two_accounts_and_all_courses_are_left(server: Server) -> None:
    counted = ("course", "course_categories", "course_modules", "course_sections", "label", "page")
    with undone(server.engine, CONTENT) as connection:
        before = {table: one(connection, f"SELECT COUNT(*) FROM {{{table}}}") for table in counted}
        content = one(connection, "SELECT intro FROM {label} ORDER BY id LIMIT 1")
        people = [str(row[0]) for row in connection.query("SELECT email FROM {user} WHERE id > 2")]
        assert len(people) == 25
        scrub(connection, people=False)
        assert connection.query("SELECT id FROM {user} ORDER BY id") == [(1,), (2,)]
        after = {table: one(connection, f"SELECT COUNT(*) FROM {{{table}}}") for table in counted}
        assert after == before
        assert one(connection, "SELECT intro FROM {label} ORDER BY id LIMIT 1") == content
        everything = "\n".join(texts(connection).values())
        assert [email for email in people if email in everything] == []
        assert "O'Neil" not in everything


def test_without_people_no_row_names_a_removed_account(server: Server) -> None:
    with undone(server.engine, CONTENT) as connection:
        scrub(connection, people=False)
        schema = read_schema(connection)
        for rule in fates(schema):
            if rule.fate is not Fate.KEEP:
                rows = connection.query(
                    f"SELECT DISTINCT {rule.column} FROM {{{rule.table}}} WHERE {rule.column} > 0"
                )
                assert {row[0] for row in rows} <= {1, 2}, rule
        for table, columns in schema.tables.items():
            if "contextid" in columns and not columns["contextid"].is_text:
                lost = connection.query(
                    f"SELECT COUNT(*) FROM {{{table}}} WHERE contextid > 0"
                    " AND contextid NOT IN (SELECT id FROM {context})"
                )
                assert lost == [(0,)], table


def test_with_people_everybody_stays_with_password_and_enrolments(server: Server) -> None:
    people = "SELECT id, username, password, email, firstname FROM {user} WHERE id > 2 ORDER BY id"
    enrolments = "SELECT id, userid, enrolid FROM {user_enrolments} ORDER BY id"
    posts = "SELECT id, userid, message FROM {forum_posts} ORDER BY id"
    with undone(server.engine, CONTENT) as connection:
        before = [list(connection.query(sql)) for sql in (people, enrolments, posts)]
        scrub(connection, people=True)
        assert [list(connection.query(sql)) for sql in (people, enrolments, posts)] == before
        admin = connection.query("SELECT username, password, email FROM {user} WHERE id = 2")
        assert admin == [("template-admin", "not cached", "")]


def test_roles_and_settings_stay(server: Server) -> None:
    with undone(server.engine, CONTENT) as connection:
        sql = (
            "SELECT id, contextid, roleid, capability, permission FROM {role_capabilities}"
            " ORDER BY id"
        )
        before, theme = list(connection.query(sql)), setting(connection, "core", "theme")
        scrub(connection, people=False)
        assert list(connection.query(sql)) == before
        assert setting(connection, "core", "theme") == theme


@pytest.mark.parametrize("name", [CONTENT, NEWEST])
def test_every_column_that_sounds_like_a_secret_is_judged(server: Server, name: str) -> None:
    with undone(server.engine, name) as connection:
        assert secret_columns(read_schema(connection)) == []
        assert personal_columns(read_schema(connection)) == []


SOUNDS_LIKE_AN_ACCOUNT = re.compile(
    r"^(user|owner|author|creator|modifier|grader|rater|reviewer|recipient|requester|importer"
    r"|contact|realuser|relateduser|blockeduser|requesteduser|actionuser|owneruser|recipientuser)"
    r"(id)?$|^user(created|modified|idfrom|idto|viewas)$|(created|modified|requested|override|over)by$"
    r"|^(loggeduser|allocatedmarker|dpo|tiuserid)$"
)


@pytest.mark.parametrize("name", [CONTENT, NEWEST])
def test_every_column_that_names_an_account_is_judged(server: Server, name: str) -> None:
    judged = {(rule.table, rule.column) for rule in BOUND}
    with undone(server.engine, name) as connection:
        schema = read_schema(connection)
        unjudged = [
            (table, column.name)
            for table, columns in schema.tables.items()
            for column in columns.values()
            if not column.is_text
            and SOUNDS_LIKE_AN_ACCOUNT.search(column.name)
            and column.name not in FATE_BY_COLUMN
            and (table, column.name) not in judged
        ]
        assert unjudged == []


def test_a_secret_of_an_unknown_plugin_goes_or_is_reported(server: Server) -> None:
    with undone(server.engine, FRESH, alone=True) as connection:
        connection.execute(
            "INSERT INTO {config_plugins} (plugin, name, value) VALUES"
            " ('local_x', 'myapikey', 'hidden-1'), ('local_x', 'requirepassword', '1'),"
            " ('auth_x', 'field_lock_password', 'unlocked')"
        )
        connection.execute(
            "CREATE TABLE {local_x} (id BIGINT, apikey VARCHAR(20), userid BIGINT,"
            " lastip VARCHAR(45), relationship VARCHAR(20), phone BIGINT)"
        )
        connection.execute(
            "INSERT INTO {local_x} VALUES (1, 'hidden-2', 2, '::1', 'x', 1),"
            " (2, '', 77, '', 'x', 1)"
        )
        report = scrub(connection, people=False)
        assert setting(connection, "local_x", "myapikey") == ""
        assert setting(connection, "local_x", "requirepassword") == "1"
        assert setting(connection, "auth_x", "field_lock_password") == "unlocked"
        assert report.unjudged == ("local_x.apikey", "local_x.lastip")
        assert connection.query("SELECT id FROM {local_x}") == [(1,)]


# ---- copies


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


# ---- sanitising


def test_staging_silences_a_clone_and_leaves_its_people(server: Server) -> None:
    with undone(server.engine, CONTENT) as connection:
        secrets = planted_secrets(connection)
        people = "SELECT id, username, email, lastname FROM {user} ORDER BY id"
        before = connection.query(people)
        apply(connection, POLICIES["staging"], "seed")
        assert connection.query(people) == before
        assert setting(connection, "core", "noemailever") == "1"
        assert setting(connection, "core", "cron_enabled") == "0"
        everything = "\n".join(texts(connection).values())
        for what in ("smtp", "proxy", "cron", "ldap", "extdb", "api", "oauth", "token", "session"):
            assert secrets[what] not in everything, what


def test_a_policy_names_what_it_does_not_know(server: Server) -> None:
    for name, named in (
        ("staging", ("local_y.apikey",)),
        ("anonymous", ("local_y.apikey", "local_y.email")),
    ):
        with undone(server.engine, FRESH, alone=True) as connection:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS {local_y}"
                " (id BIGINT, apikey VARCHAR(20), email VARCHAR(20))"
            )
            connection.execute("INSERT INTO {local_y} VALUES (1, 'hidden', 'a@example.test')")
            assert apply(connection, POLICIES[name], "seed").unjudged == named


def test_mail_is_diverted_on_request(server: Server) -> None:
    with undone(server.engine, FRESH) as connection:
        apply(connection, POLICIES["staging"], "seed", divert_to="qa@example.test")
        assert setting(connection, "core", "noemailever") == "0"
        assert setting(connection, "core", "divertallemailsto") == "qa@example.test"


def test_anonymous_people_cannot_be_recognised_and_keep_what_they_did(server: Server) -> None:
    with undone(server.engine, CONTENT) as connection:
        emails = [row[0] for row in connection.query("SELECT email FROM {user} WHERE id > 1")]
        names = [row[0] for row in connection.query("SELECT username FROM {user} WHERE id > 2")]
        enrolments = one(connection, "SELECT COUNT(*) FROM {user_enrolments}")
        apply(connection, POLICIES["anonymous"], "seed")
        found = texts(connection)
        del found["config.core/supportemail"]  # the copy's own comes with its identity
        everything = "\n".join(found.values())
        assert [email for email in emails if email in everything] == []
        words = set(re.findall(r"\w+", everything))
        assert [name for name in names if name in words] == []
        assert "O'Neil" not in everything
        assert one(connection, "SELECT COUNT(*) FROM {user_enrolments}") == enrolments
        assert connection.query("SELECT username FROM {user} WHERE id = 2") == [("admin",)]
        assert one(connection, "SELECT COUNT(DISTINCT username) FROM {user}") == 27


def test_the_same_seed_makes_the_same_people(server: Server) -> None:
    made = []
    for seed in ("one", "one", "two"):
        with undone(server.engine, CONTENT) as connection:
            apply(connection, POLICIES["training"], seed)
            made.append(
                list(connection.query("SELECT username, firstname, email FROM {user} ORDER BY id"))
            )
    assert made[0] == made[1]
    assert made[0] != made[2]
    with undone(server.engine, CONTENT) as connection, pytest.raises(InvalidInput):
        apply(connection, POLICIES["training"], "")


def test_every_policy_runs_on_every_version_and_then_has_nothing_to_do(server: Server) -> None:
    for name in (CONTENT, NEWEST):
        for policy in POLICIES.values():
            with undone(server.engine, name) as connection:
                assert apply(connection, policy, "seed").rows > 0
                again = apply(connection, policy, "seed").changes
                assert [c for c in again if not c.what.startswith("user.")] == []
