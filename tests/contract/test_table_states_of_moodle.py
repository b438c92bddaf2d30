"""What was written to a real Moodle database is found table by table, on both engines."""

from __future__ import annotations

import pytest
from tests.contract.test_plugins import both, databases, moodles
from tests.contract.test_sql import Mixed

from vmoodle.errors import Unavailable
from vmoodle.installation import Installation
from vmoodle.moodle.database.table_states import TableChange, TableState, changes, read_table_states

__all__ = ["both", "databases", "moodles"]


def states(moodles: Mixed, site: str) -> dict[str, TableState]:
    with moodles.engines[site].connect(moodles.databases[site]) as connection:
        return read_table_states(connection)


def done(moodles: Mixed, site: str, *statements: str) -> dict[str, TableChange]:
    """Return what a site's tables have of the statements."""
    before = states(moodles, site)
    for statement in statements:
        with moodles.engines[site].connect(moodles.databases[site], read_only=False) as connection:
            connection.execute(statement)
    return changes(before, states(moodles, site))


@pytest.mark.parametrize("site", ["m1", "p1"])
def test_each_kind_of_change_is_found_and_nothing_else(moodles: Mixed, site: str) -> None:
    assert len(states(moodles, site)) > 400
    assert done(moodles, site) == {}
    found = done(
        moodles, site,
        "UPDATE {user} SET city = 'Rovaniemi' WHERE username = 'admin'",
        "INSERT INTO {course_categories} (name, timemodified) VALUES ('x', 0)",
        "DELETE FROM {course_categories} WHERE name = 'x'",
        "CREATE TABLE {vm_new} (id INT PRIMARY KEY, name VARCHAR(10))",
        "ALTER TABLE {tag} ADD COLUMN vm_extra INT",
        "CREATE INDEX vm_page_index ON {page} (timemodified)",
    )  # fmt: skip
    assert {name: change.what for name, change in found.items() if name != "tag"} == {
        "user": ("rows",),
        "course_categories": ("counter",),
        "vm_new": ("made",),
        "page": ("definition",),
    }
    assert "definition" in found["tag"].what
    found = done(
        moodles, site,
        "DROP TABLE {vm_new}",
        "UPDATE {user} SET city = '' WHERE username = 'admin'",
        "ALTER TABLE {tag} DROP COLUMN vm_extra",
        "DROP INDEX vm_page_index ON {page}" if site == "m1" else "DROP INDEX vm_page_index",
    )  # fmt: skip
    assert found.keys() == {"vm_new", "user", "tag", "page"}
    assert found["vm_new"].what == ("removed",)


@pytest.mark.parametrize("site", ["m1", "p1"])
def test_a_value_that_is_null_and_one_that_is_empty_differ(moodles: Mixed, site: str) -> None:
    rows = ("UPDATE {user} SET lastnamephonetic = NULL", "UPDATE {user} SET lastnamephonetic = ''")
    done(moodles, site, rows[0])
    assert done(moodles, site, rows[1]).keys() == {"user"}


def test_room_for_copies_is_asked_of_the_real_disks(
    moodles: Mixed, installation: Installation
) -> None:
    from vmoodle.lifecycle.upgrade import space
    from vmoodle.registry.models import Site

    assert moodles.fleet
    for site in Site.objects.select_related("server"):
        space.refuse_full_server(installation, site.server, 1 << 20)
        with pytest.raises(Unavailable) as full:
            space.refuse_full_server(installation, site.server, 1 << 60)
        assert full.value.code == "upgrade.rehearsal.space"
        assert f"need {1 << 40} MB" in full.value.message
    space.refuse_full_dataroot(installation, [1])
    with pytest.raises(Unavailable) as full:
        space.refuse_full_dataroot(installation, [1 << 60, 0])
    assert "MB free" in full.value.message
