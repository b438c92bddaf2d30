"""Database servers that are down, slow or read-only, and accounts without rights."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from tests.engine_content import administer, check_copy, fill
from tests.engine_servers import Server, new_site

from servers import free_port
from vmoodle.engines.address import ServerAddress
from vmoodle.engines.protocol import Engine, open_engine
from vmoodle.errors import (
    Refused,
    Unavailable,
)
from vmoodle.secret import Secret


def test_a_server_that_is_down_is_unavailable(server: Server) -> None:
    with server.stopped(), pytest.raises(Unavailable) as caught:
        server.engine.facts()
    assert caught.value.code == "engine.connect"
    assert server.engine.facts()


def test_a_port_nobody_listens_on_is_unavailable(engine: Engine) -> None:
    address = replace(engine.address, host="127.0.0.1", socket=None, port=free_port())
    with pytest.raises(Unavailable) as caught:
        open_engine(address).facts()
    assert caught.value.code == "engine.connect"


def test_a_server_that_does_not_answer_is_unavailable(server: Server) -> None:
    with server.paused(), pytest.raises(Unavailable) as caught:
        server.engine.facts()
    assert caught.value.code == "engine.timeout"
    assert "paused" in caught.value.hint
    assert server.engine.facts()


def test_a_wrong_password_is_told_from_a_server_that_is_down(engine: Engine) -> None:
    for wrong in (
        replace(engine.address, password=Secret("wrong")),
        replace(engine.address, user="nobody_here"),
    ):
        with pytest.raises(Unavailable) as caught:
            open_engine(wrong).missing_grants()
        assert caught.value.code == "engine.login"


@contextmanager
def read_only(address: ServerAddress) -> Iterator[None]:
    """Let the server refuse writes for the length of the block."""
    role = f"ALTER ROLE {address.user}"
    begin, end = {
        "mariadb": (("SET GLOBAL read_only = 1",), ("SET GLOBAL read_only = 0",)),
        "postgresql": (
            (f"{role} SET default_transaction_read_only = on",),
            (
                "SET default_transaction_read_only = off",
                f"{role} RESET default_transaction_read_only",
            ),
        ),
    }[address.engine]
    administer(address, *begin)
    try:
        yield
    finally:
        administer(address, *end)


def test_a_read_only_server_says_so(engine: Engine) -> None:
    site = new_site()
    with read_only(engine.address):
        assert engine.facts().read_only
        with pytest.raises(Unavailable) as caught:
            engine.create_account(site)
    assert caught.value.code == "engine.readonly"
    assert not engine.account_exists(site.account)


@pytest.fixture
def weak(server: Server) -> Iterator[Engine]:
    """Yield the engine with an administrative account that has no right but to log in."""
    make, remove = {
        "mariadb": (
            ["CREATE USER 'weak'@'%' IDENTIFIED BY 'w-1'"],
            ["DROP USER 'weak'@'%'"],
        ),
        "postgresql": (
            ["CREATE ROLE weak LOGIN PASSWORD 'w-1'", "GRANT CONNECT ON DATABASE postgres TO weak"],
            ["DROP OWNED BY weak", "DROP ROLE weak"],
        ),
    }[server.address.engine]
    administer(server.address, *make)
    yield open_engine(replace(server.address, user="weak", password=Secret("w-1")))
    administer(server.address, *remove)


def test_a_missing_grant_is_named_with_the_statement_that_gives_it(
    engine: Engine, weak: Engine, tmp_path: Path
) -> None:
    assert engine.missing_grants() == []
    site, copy = new_site(), new_site()
    missing = weak.missing_grants()
    assert missing
    with pytest.raises(Refused) as caught:
        weak.create_account(site)
    assert caught.value.code == "engine.grant"
    assert missing[0].statement in caught.value.hint
    administer(engine.address, *(grant.statement for grant in missing))
    assert weak.missing_grants() == []

    for one in (site, copy):
        weak.create_account(one)
    weak.create_database(site)
    fill(weak, site)
    weak.clone_database(site, copy)
    check_copy(weak, site, copy)
    weak.dump(site, tmp_path / "dump")
    assert weak.size(site.name) > 0
    weak.reset_database(site)
    weak.restore(tmp_path / "dump", site)
    for one in (site, copy):
        weak.drop_database(one)
        weak.drop_account(one.account)


def test_the_documented_rights_suffice_from_the_first_site_to_the_last(
    server: Server, tmp_path: Path
) -> None:
    if server.name != "mariadb":
        pytest.skip("the page's statements for MariaDB")
    page = Path(__file__).parents[2] / "docs" / "how-to" / "database-server.md"
    (block,) = re.findall(r"## MariaDB\n\n```sql\n(.*?)```", page.read_text(), re.DOTALL)
    administer(server.address, *block.replace("…", "w-1").splitlines())
    try:
        documented = open_engine(replace(server.address, user="vmoodle", password=Secret("w-1")))
        assert documented.missing_grants() == []
        site, copy = new_site(), new_site()
        for one in (site, copy):
            documented.create_account(one)
        documented.create_database(site)
        documented.create_database(site, if_missing=True)
        fill(documented, site)
        documented.clone_database(site, copy)
        check_copy(documented, site, copy)
        documented.dump(site, tmp_path / "dump")
        documented.reset_database(site)
        documented.restore(tmp_path / "dump", site)
        for one in (site, copy):
            documented.drop_database(one)
            documented.drop_database(one, if_exists=True)
            documented.drop_account(one.account)
            assert not documented.account_exists(one.account)
    finally:
        administer(server.address, "DROP USER 'vmoodle'@'%'")


def test_one_missing_grant_is_the_only_one_named(engine: Engine, weak: Engine) -> None:
    first, *others = weak.missing_grants()
    administer(engine.address, *(grant.statement for grant in others))
    assert weak.missing_grants() == [first]
