"""The reset of an account, taken back only where nobody has changed anything of it since."""

from __future__ import annotations

import pytest
from tests.engine_servers import Server

from fixtures import undone
from vmoodle.engines.protocol import SiteConnection
from vmoodle.errors import Conflict
from vmoodle.moodle.care.account_reset import (
    AccountState,
    read_account,
    refuse_changed,
    reset_account,
    take_back,
)
from vmoodle.moodle.care.administrators import Account, administrators, find_user
from vmoodle.secret import Secret

pytestmark = pytest.mark.parametrize(
    "server", ["mariadb", "postgresql"], indirect=True, scope="session"
)

FRESH = "moodle-4.5.5"
FORCED = "name = 'auth_forcepasswordchange'"


def locked_out(connection: SiteConnection) -> Account:
    connection.execute("UPDATE {user} SET suspended = 1, auth = 'nologin' WHERE username = 'admin'")
    account = find_user(connection, "admin")
    connection.execute(
        "INSERT INTO {user_preferences} (userid, name, value) VALUES (%s, 'login_lockout', '99')",
        (account.id,),
    )
    return account


def reset(connection: SiteConnection, account: Account) -> tuple[AccountState, AccountState]:
    before, after = reset_account(connection, account, Secret("New-Passw0rd!"))
    return (
        AccountState.from_data(before.as_data()), AccountState.from_data(after.as_data())
    )  # fmt: skip


def test_an_account_is_reset_and_is_what_it_was_again(server: Server) -> None:
    with undone(server.engine, FRESH) as connection:
        account = locked_out(connection)
        before, after = reset(connection, account)
        assert read_account(connection, account) == after
        assert not after.hindrances
        take_back(connection, account, before, after)
        assert read_account(connection, account) == before
        assert before.preferences["login_lockout"] == "99"


@pytest.mark.parametrize(
    ("sql", "what"),
    [
        ("UPDATE {user} SET password = 'x' WHERE id = %s", "password"),
        ("UPDATE {user} SET auth = 'ldap' WHERE id = %s", "auth"),
        ("UPDATE {user} SET suspended = 1 WHERE id = %s", "suspended"),
        ("UPDATE {user} SET confirmed = 0 WHERE id = %s", "confirmed"),
        ("UPDATE {user} SET deleted = 1 WHERE id = %s", "deleted"),
        (f"UPDATE {{user_preferences}} SET value = '0' WHERE userid = %s AND {FORCED}", "forcep"),
        (f"DELETE FROM {{user_preferences}} WHERE userid = %s AND {FORCED}", "forcep"),
        (
            "INSERT INTO {user_preferences} (userid, name, value)"
            " VALUES (%s, 'login_failed_count', '3')",
            "login_failed_count",
        ),
    ],
)
def test_what_somebody_has_changed_of_it_since_stays_with_all_the_rest(
    server: Server, sql: str, what: str
) -> None:
    with undone(server.engine, FRESH) as connection:
        account = locked_out(connection)
        before, after = reset(connection, account)
        connection.execute(sql, (account.id,))
        rows = everything(connection)
        for act in (
            lambda: refuse_changed(connection, account, after),
            lambda: take_back(connection, account, before, after),
        ):
            with pytest.raises(Conflict) as error:
                act()
            assert error.value.code == "account.changed"
            assert what in error.value.message
            assert after.password not in error.value.message
        assert everything(connection) == rows


def everything(connection: SiteConnection) -> list[list[tuple[object, ...]]]:
    return [
        list(connection.query("SELECT * FROM {user} ORDER BY id")),
        list(connection.query("SELECT userid, name, value FROM {user_preferences} ORDER BY id")),
    ]


def test_the_guest_administers_nothing_even_where_the_list_names_it(server: Server) -> None:
    with undone(server.engine, FRESH) as connection:
        connection.execute("UPDATE {config} SET value = '2,1' WHERE name = 'siteadmins'")
        connection.execute("UPDATE {user} SET username = 'visitor' WHERE id = 1")
        assert [one.can_log_in for one in administrators(connection)] == [True, False]
