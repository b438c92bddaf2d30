"""Scrubbed of its identity: real Moodle databases, cell by cell, on both engines."""

from __future__ import annotations

import re

import pytest
from tests.engine_servers import Server
from tests.identity_content import (
    CONTENT,
    FRESH,
    NEWEST,
    one,
    places,
    planted_secrets,
    setting,
    texts,
)

from fixtures import undone
from vmoodle.moodle.database.site_schema import read_schema
from vmoodle.moodle.identity.people import BOUND, FATE_BY_COLUMN, Fate
from vmoodle.moodle.identity.people_removal import fates
from vmoodle.moodle.identity.scrub import scrub
from vmoodle.moodle.identity.unjudged import personal_columns, secret_columns

pytestmark = pytest.mark.parametrize(
    "server", ["mariadb", "postgresql"], indirect=True, scope="session"
)


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
