"""Killed at each step an adoption ends whole or leaves no trace; the Moodle is never changed.

Which engine it is makes no difference: nothing is made on the server.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests import servers
from tests.checksums import checksum
from tests.contract.existing import Existing, files, make_existing
from tests.crash.copying import Killable, copying
from tests.crash.steps import steps

STEPS = steps("site.adopt")


@pytest.fixture(scope="module")
def fleet() -> Iterator[Killable]:
    """A fleet on PostgreSQL, clean at the end."""
    servers.require("postgresql")
    with copying("postgresql") as made:
        yield made
        made.fleet.assert_clean()


@pytest.fixture(scope="module")
def existing(fleet: Killable) -> Iterator[Existing]:
    """A Moodle outside of the fleet, which no test changes."""
    made = make_existing(fleet, "old")
    with fleet.engine.connect(made.database, read_only=False) as connection:
        connection.execute("UPDATE {config} SET value = 'own' WHERE name = 'siteidentifier'")
    before = checksum(fleet.engine, made.database), files(made.dataroot)
    yield made
    assert (checksum(fleet.engine, made.database), files(made.dataroot)) == before


def test_an_adoption_killed_while_it_is_taken_back_leaves_no_claim(
    fleet: Killable, existing: Existing
) -> None:
    operation = fleet.order("adopt", "old", str(existing.config))
    fleet.killed_backwards(operation, "site.adopt", STEPS[:-1])
    fleet.assert_ended(operation, "cancelled")
    assert not fleet.site_exists("old")
    assert fleet.map_state("old.example.test") == ""


def test_an_adoption_killed_at_each_step_ends_in_a_site_and_all_is_handed_over(
    fleet: Killable, existing: Existing
) -> None:
    operation = fleet.order("adopt", "old", str(existing.config))
    fleet.killed_forwards(operation, "site.adopt", STEPS)
    fleet.assert_ended(operation, "done")
    assert fleet.map_state("old.example.test") == "live"


def test_settings_are_written_once_however_often_the_step_is_killed(fleet: Killable) -> None:
    settings = {"smtphosts": "mail.example.org", "newkey": "new"}
    operation = fleet.order("deploy with settings", "set", "template:base", settings)
    fleet.killed_forwards(operation, "site.deploy", ("settings",))
    fleet.assert_ended(operation, "done")
    with fleet.engine.connect(fleet.database("set")) as connection:
        rows = connection.query(
            "SELECT name, value FROM {config} WHERE name IN ('smtphosts', 'newkey') ORDER BY name"
        )
    assert list(rows) == [("newkey", "new"), ("smtphosts", "mail.example.org")]
