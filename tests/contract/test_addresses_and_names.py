"""Server URLs, names of databases, and placeholders: what they become, what is refused."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmoodle.engines.address import parse_url
from vmoodle.engines.names import names_for
from vmoodle.engines.placeholders import expand
from vmoodle.errors import InvalidInput


def test_a_url_is_read_with_everything_in_it() -> None:
    address = parse_url("mysql://fl%40et:p%2Fw%40@db.example:3307/?account_host=10.0.%25")
    assert (address.engine, address.host, address.port) == ("mariadb", "db.example", 3307)
    assert (address.user, address.password.reveal()) == ("fl@et", "p/w@")
    assert address.account_host == "10.0.%"
    assert "p/w" not in address.display() + repr(address)


def test_a_socket_is_read_for_both_engines() -> None:
    mariadb = parse_url("mariadb://root@localhost/?socket=/run/mysqld/mysqld.sock")
    assert (mariadb.socket, mariadb.account_host) == ("/run/mysqld/mysqld.sock", "localhost")
    assert not mariadb.password
    postgresql = parse_url("postgres://a:b@localhost?socket=/run/pg/.s.PGSQL.5433")
    assert (postgresql.engine, postgresql.socket, postgresql.port) == (
        "postgresql",
        "/run/pg",
        5433,
    )


@pytest.mark.parametrize(
    "url",
    [
        "mariadb://root@localhost/?socket=/run/mysqld/mysqld.sock",
        "postgresql://a%3Ab@[::1]:5433/?sslmode=require",
        "mariadb://fleet@db/?account_host=10.%25",
    ],
)
def test_a_shown_address_is_the_same_address(url: str) -> None:
    assert parse_url(parse_url(url).display()) == parse_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "embedded",
        "sqlite:///hidden",
        "mysql:hidden",
        "mariadb://db.example",
        "mariadb://u:hidden@",
        "mariadb://u:hidden@h:99999",
        "mariadb://u:hidden@h:x",
        "mariadb://u:hid#den@h",
        "mariadb://u:hidden/x@h",
        "mariadb://u:hidden@h/database",
        "mariadb://u:hidden@h?option=1",
        "mariadb://u:hidden@h?socket=relative",
        "mariadb://u:hidden@h?socket=/a&socket=/b",
        "postgresql://u:hidden@h?account_host=x",
        "postgresql://u:hidden@h?sslmode=maybe",
        "postgresql://u:hidden@a b",
        "postgresql://u:hidden@h\n",
        "postgresql://u:hidden@[::x]",
        "postgresql://u:hidden@h;x",
        "postgresql://u%00:hidden@h",
    ],
)
def test_an_unusable_url_is_refused_without_its_password(url: str) -> None:
    if url == "mariadb://u:hidden@":
        assert parse_url(url).host == "localhost"
        return
    with pytest.raises(InvalidInput) as caught:
        parse_url(url)
    assert caught.value.code.startswith("engine.address.")
    assert "hid" not in caught.value.message + caught.value.hint


@given(st.text())
def test_any_text_is_an_address_or_invalid_input(text: str) -> None:
    for url in (text, f"mariadb://{text}", f"postgresql://u:p@h/{text}"):
        try:
            assert parse_url(url).user
        except InvalidInput as error:
            assert error.code.startswith("engine.address.")


@given(st.text(min_size=1, max_size=60), st.text(min_size=1, max_size=60))
def test_two_shortnames_never_share_a_name(one: str, two: str) -> None:
    names = [names_for(shortname)[0] for shortname in (one, two)]
    assert (names[0] == names[1]) == (one == two)
    assert all(re.fullmatch(r"[a-z][a-z0-9_]{0,31}", name) for name in names)


def test_names_are_readable_and_never_collide() -> None:
    assert names_for("school1") == ("vm_school1", "vm_school1")
    alike = ["a-b", "a_b", "A_b", "a.b", "x" * 29, "x" * 30, "x" * 31, "ä", "ö"]
    hashed = names_for("a-b")[0].removeprefix("vm_")
    assert len({names_for(name)[0] for name in [*alike, hashed]}) == len(alike) + 1
    for prefix in ("", "1x", "Vm", "much_too_long_"):
        with pytest.raises(InvalidInput):
            names_for("a", prefix)


@pytest.mark.parametrize(
    ("sql", "backslashes", "expected"),
    [
        ("SELECT * FROM {user} u, {role}", False, "SELECT * FROM mdl_user u, mdl_role"),
        (
            "SELECT '{user}', \"{user}\" FROM {user}",
            False,
            "SELECT '{user}', \"{user}\" FROM mdl_user",
        ),
        (r"SELECT '\' FROM {user} --'", False, r"SELECT '\' FROM mdl_user --'"),
        (r"SELECT '\'{user}' FROM {user}", True, r"SELECT '\'{user}' FROM mdl_user"),
        ("SELECT $a$ {user} $a$ FROM {user}", False, "SELECT $a$ {user} $a$ FROM mdl_user"),
        (
            "/* {user} */ SELECT 1 -- {user}\n FROM {user}",
            False,
            "/* {user} */ SELECT 1 -- {user}\n FROM mdl_user",
        ),
        ("SELECT '{\"a\":1}', {User}, { user }", False, "SELECT '{\"a\":1}', {User}, { user }"),
    ],
)
def test_placeholders_become_the_sites_tables(sql: str, backslashes: bool, expected: str) -> None:
    assert expand(sql, "mdl_", backslash_escapes=backslashes) == expected
