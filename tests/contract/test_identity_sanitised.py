"""Sanitised by a policy: real Moodle databases, cell by cell, on both engines."""

from __future__ import annotations

import re

import pytest
from tests.engine_servers import Server
from tests.identity_content import (
    CONTENT,
    FRESH,
    NEWEST,
    one,
    planted_secrets,
    setting,
    texts,
)

from fixtures import undone
from vmoodle.errors import InvalidInput
from vmoodle.moodle.identity.sanitise import POLICIES, apply

pytestmark = pytest.mark.parametrize(
    "server", ["mariadb", "postgresql"], indirect=True, scope="session"
)


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
                assert [c for c in again if not c.place.startswith("user.")] == []
