"""`vmoodle copy table` between engines: every value as it was, all or nothing, and back."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from tests import servers
from tests.contract.copy_sites import CopySites, sites
from tests.contract.test_sql import NAMES, both, mixed

from vmoodle.engines.protocol import SiteConnection
from vmoodle.moodle.database.table_rows import TableSlice, as_json, from_json, rows_of

__all__ = ["both", "mixed", "sites"]

ODD = [
    ("it's", '"q" \\ %s % {user} \U0001f600\n\t\r', bytes(range(256)), Decimal("1.50000"), 0.1),
    ("Ünï 😀", "", b"", Decimal("-99999.99999"), -1.7976931348623157e308),
    ("null", None, None, None, None),
    ("long", "x" * 1_000_000, b"\0" * 70_000, Decimal(0), 5e-324),
]
ASK = "SELECT id, name, body, picture, score, ratio, courseid, usermodified, {} FROM {{local_news}}"


def fill(sites: CopySites, site: str, rows: list[tuple[Any, ...]], first: int = 10) -> None:
    def act(connection: SiteConnection) -> None:
        order = '"order"' if site.startswith("p") else "`order`"
        for number, row in enumerate(rows, start=first):
            connection.execute(
                "INSERT INTO {local_news} (id, name, body, picture, score, ratio, courseid,"
                f" usermodified, {order}) VALUES (%s, %s, %s, %s, %s, %s, 0, 5, %s)",
                (number, *row, number),
            )

    sites.change(site, act)


def news(sites: CopySites, site: str) -> list[tuple[Any, ...]]:
    order = '"order"' if site.startswith("p") else "`order`"
    return sites.ask(site, ASK.format(order) + " ORDER BY id")


def plain(*names: str) -> list[tuple[Any, ...]]:
    return [(name, "text", None, None, None) for name in names]


def test_a_table_becomes_the_sources_on_each_engine_and_comes_back(sites: CopySites) -> None:
    fill(sites, "m1", ODD)
    for name in ("m2", "p1"):
        fill(sites, name, plain("own", "other"), first=3)
    before = {name: news(sites, name) for name in NAMES}
    told = sites.copy("table", "local_news", "--replace", on="*", confirm=True)
    for number, name in enumerate(NAMES, start=1):
        there = news(sites, name)
        # The writer is a person of the source: the target's own administrator takes the place.
        expected = [(*row[:7], number if name != "m1" else 5, row[8]) for row in before["m1"]]
        assert there == expected, name
    assert told["p1"]["rows"][0] | {"note": ""} == {
        "before": 2, "removed": 2, "added": 4, "undo": "yes", "note": ""
    }  # fmt: skip
    # PostgreSQL counts on after the ids that were written.
    for name in ("p1", "m2"):
        sites.change(
            name,
            lambda c: c.execute(
                "INSERT INTO {local_news} (name, courseid, usermodified) VALUES ('new', 0, 0)"
            ),
        )
        assert news(sites, name)[-1][:2] == (14, "new")
    back = sites.undo(told["run"], status=1)
    assert {back[name]["error"]["code"] for name in ("m2", "p1")} == {"table.changed"}
    assert back["p2"]["status"] == "ok"
    for name in ("p1", "m2"):
        sites.change(name, lambda c: c.execute("DELETE FROM {local_news} WHERE id = 14"))
    sites.undo(told["run"])
    assert {name: news(sites, name) for name in NAMES} == before


def test_from_postgresql_to_mariadb_and_the_same_again(sites: CopySites) -> None:
    fill(sites, "p1", ODD)
    words = ("copy", "table", "local_news", "--from", "p1", "--on", "m1, p2", "--replace", "--yes")
    sites.answers(sites.mixed.fleet.json(*words))
    for name in ("m1", "p2"):
        assert [row[:7] for row in news(sites, name)] == [row[:7] for row in news(sites, "p1")]


def test_rows_that_are_missing_are_added_under_new_ids(sites: CopySites) -> None:
    fill(sites, "m1", plain("a", "b", "c"))
    for name in ("p1", "m2"):
        fill(sites, name, plain("b", "z"), first=20)
    trial = sites.copy("table", "local_news", "--add-missing", "name", "--dry-run", on="p1")
    assert trial["p1"]["rows"][0]["added"] == 2
    assert len(news(sites, "p1")) == 2
    told = sites.copy("table", "local_news", "--add-missing", "name", on="p1, m2")
    for name in ("p1", "m2"):
        assert [row[1] for row in news(sites, name)] == ["b", "z", "a", "c"]
        assert [row[0] for row in news(sites, name)][:2] == [20, 21]
    again = sites.copy("table", "local_news", "--add-missing", "name", on="p1")
    assert again["p1"]["rows"][0]["note"] == "nothing to change"
    back = sites.undo(told["run"])
    for name in ("p1", "m2"):
        assert [row[1] for row in news(sites, name)] == ["b", "z"]
        assert {k: back[name]["rows"][0][k] for k in ("before", "removed")} == {
            "before": 4, "removed": 2
        }  # fmt: skip


def test_only_rows_with_a_value_are_replaced(sites: CopySites) -> None:
    fill(sites, "m1", plain("a", "b"))
    for name in ("p1", "m2"):
        fill(sites, name, plain("B", "a", "c") if name == "p1" else plain("a"), first=1)
    told = sites.copy("table", "local_news", "--replace", "--where", "name=b", on="p1")
    assert [row[1] for row in news(sites, "p1")] == ["B", "a", "c", "b"]
    sites.undo(told["run"])
    assert [row[1] for row in news(sites, "p1")] == ["B", "a", "c"]


def test_what_cannot_be_copied_is_refused_with_the_reason(sites: CopySites) -> None:
    def problem(table: str, *words: str) -> dict[str, Any]:
        words = ("copy", "table", table, "--from", "m1", "--on", "p1", "--yes", *words)
        told: dict[str, Any] = sites.mixed.fleet.problem(*words)
        return told

    assert problem("local_news")["code"] == "table.way"
    assert problem("local_news", "--replace", "--add-missing", "name")["code"] == "table.way"
    assert problem("x; DROP TABLE y", "--replace")["code"] == "table.name"
    assert "local_news" in problem("local_newz", "--replace")["hint"]
    assert problem("local_news", "--add-missing", "nothing")["code"] == "table.key"
    assert problem("local_news", "--replace", "--where", "1=1) OR (1")["code"] == "table.where"
    assert problem("local_news", "--replace", "--where", "courseid=x")["code"] == "table.where"
    for table in ("user", "config", "config_plugins", "files", "local_reader", "local_door"):
        assert problem(table, "--replace")["code"] == "table.refused", table
    assert "local_book.shelfid" in problem("local_shelf", "--replace")["detail"]
    # No key says so, only the names.
    assert "local_thing.kindid" in problem("local_kinds", "--replace")["detail"]
    sites.change(
        "m1", lambda c: c.execute("INSERT INTO {local_book} (shelfid, title) VALUES (3, 'x')")
    )
    assert problem("local_book", "--replace")["code"] == "table.ids"
    fill(sites, "m1", plain("a"))
    sites.change("m1", lambda c: c.execute("UPDATE {local_news} SET courseid = 7"))
    assert "--where courseid=0" in problem("local_news", "--replace")["hint"]


def test_other_columns_are_refused_on_their_site_alone(sites: CopySites) -> None:
    fill(sites, "m1", plain("a"))
    sites.change("p1", lambda c: c.execute("ALTER TABLE {local_news} ADD extra INT"))
    sites.change("p1", lambda c: c.execute("ALTER TABLE {local_news} DROP COLUMN ratio"))
    sites.change("m2", lambda c: c.execute("ALTER TABLE {local_news} MODIFY name VARCHAR(9)"))
    told = sites.copy("table", "local_news", "--replace", on="p1, p2", status=1)
    assert told["p1"]["error"]["code"] == "table.columns"
    assert "ratio is not there, extra is only there" in told["p1"]["error"]["detail"]
    assert told["p2"]["status"] == "ok"
    ended = sites.mixed.fleet.run(
        "copy", "table", "local_news", "--from", "m1", "--on", "m2", "--replace", "--yes",
        status=None,
    )  # fmt: skip
    assert "name is shorter there" in ended.stderr


def test_a_failing_row_takes_its_site_back_whole(sites: CopySites) -> None:
    fill(sites, "m1", plain("a", "b", "c"))
    fill(sites, "p1", plain("own"), first=1)
    sites.change(
        "p1", lambda c: c.execute("ALTER TABLE {local_news} ADD CHECK (name <> 'c' OR id < 5)")
    )
    before = news(sites, "p1")
    told = sites.copy("table", "local_news", "--replace", on="p1, p2", status=1)
    assert (told["p1"]["status"], told["p2"]["status"]) == ("failed", "ok")
    assert news(sites, "p1") == before


def test_a_zero_byte_is_told_where_the_engine_cannot_keep_it(sites: CopySites) -> None:
    fill(sites, "m1", [("zero", "a\0b", None, None, None)])
    told = sites.copy("table", "local_news", "--replace", on="m2, p1", status=1)
    assert (told["m2"]["status"], told["p1"]["error"]["code"]) == ("ok", "table.zero")
    assert news(sites, "m2")[0][2] == "a\0b"


def test_values_that_the_target_cuts_off_are_found_and_taken_back(sites: CopySites) -> None:
    fill(sites, "m1", [("wide", "\U0001f600", None, Decimal("1.23456"), None)])
    sites.change("m2", lambda c: c.execute("ALTER TABLE {local_news} MODIFY score DECIMAL(10,2)"))
    fill(sites, "m2", plain("own"), first=1)
    before = news(sites, "m2")
    ended = sites.mixed.fleet.run(
        "copy", "table", "local_news", "--from", "m1", "--on", "m2", "--replace", "--yes",
        status=None,
    )  # fmt: skip
    assert "table.different" in ended.stderr
    assert news(sites, "m2") == before


def test_a_source_that_changes_after_the_order_changes_nothing(sites: CopySites) -> None:
    fill(sites, "m1", plain("a"))
    told = sites.copy("table", "local_news", "--replace", on="p1")
    fill(sites, "m1", plain("b"), first=50)
    sites.change("p1", lambda c: c.execute("DELETE FROM {local_news}"))
    again = sites.mixed.fleet.run("run", "again", told["run"], "--yes", status=None)
    assert "table.source" in again.stderr
    assert news(sites, "p1") == []


@pytest.mark.parametrize("name", ["m2", "p1"])
def test_a_copy_that_is_killed_in_the_middle_changes_nothing(sites: CopySites, name: str) -> None:
    fill(sites, "m1", plain("a", "b"))
    fill(sites, name, plain("own"), first=1)
    before = news(sites, name)
    words = ("copy", "table", "local_news", "--from", "m1", "--on", name, "--replace", "--yes")
    engine, database = sites.mixed.engines[name], sites.mixed.databases[name]
    run = sites.mixed.fleet.json(*words, "--detach")["run"]
    with engine.connect(database, read_only=False) as connection:
        connection.query("SELECT id FROM {local_news} FOR UPDATE")
        process = sites.mixed.fleet.start("worker", "--until-idle")
        servers.wait_until(lambda: _site(sites, run, name)["status"] == "begun", "the copy")
        process.kill()
        process.wait()
    servers.wait_until(lambda: news(sites, name) == before, "the transaction's end")
    sites.mixed.fleet.run("worker", "--until-idle")
    told = _site(sites, run, name)
    assert (told["status"], told["error"]["code"]) == ("unknown", "run.outcome")
    assert news(sites, name) == before


def test_a_row_that_is_written_while_the_copy_waits_for_the_table_goes_with_the_others(
    sites: CopySites,
) -> None:
    fill(sites, "m1", plain("a"))
    words = ("copy", "table", "local_news", "--from", "m1", "--on", "p1", "--replace", "--yes")
    engine, database = sites.mixed.engines["p1"], sites.mixed.databases["p1"]
    run = sites.mixed.fleet.json(*words, "--detach")["run"]
    waiting = "SELECT COUNT(*) > 0 FROM pg_locks WHERE NOT granted"
    with engine.connect(database, read_only=False) as connection:
        connection.execute(
            "INSERT INTO {local_news} (name, courseid, usermodified) VALUES ('late', 0, 0)"
        )
        process = sites.mixed.fleet.start("worker", "--until-idle")
        servers.wait_until(lambda: sites.ask("p1", waiting) == [(True,)], "the copy")
    process.wait(60)
    assert _site(sites, run, "p1")["status"] == "ok"
    assert [row[1] for row in news(sites, "p1")] == ["a"]


def _site(sites: CopySites, run: str, name: str) -> dict[str, Any]:
    document = sites.mixed.fleet.json("run", "show", run)
    (told,) = [row for row in document["results"] if row["site"] == name]
    return dict(told)


def test_many_rows_are_read_in_batches_and_large_tables_say_there_is_no_way_back(
    sites: CopySites, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vmoodle.moodle.copies import table_copy
    from vmoodle.moodle.database.table_rows import digest_of

    sites.change(
        "m1",
        lambda c: c.execute(
            "INSERT INTO {local_shelf} (name) SELECT CONCAT('s', a.n, b.n, c.n) FROM"
            + ", ".join(
                "(SELECT 0 n UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION"
                f" SELECT 5 UNION SELECT 6 UNION SELECT 7 UNION SELECT 8 UNION SELECT 9) {x}"
                for x in "abc"
            )
        ),
    )
    told = sites.copy("table", "local_shelf", "--add-missing", "name", on="p1, m2")
    assert {told[name]["rows"][0]["added"] for name in ("p1", "m2")} == {1000}
    assert "Rows of local_book do not come along." in told["p1"]["rows"][0]["note"]
    columns = [
        (part, engine)
        for name in ("p1", "m2")
        for engine in [sites.mixed.engines[name]]
        for part in [name]
    ]
    marks = set()
    for name, engine in columns:
        with engine.connect(sites.mixed.databases[name], one_moment=True) as connection:
            from vmoodle.moodle.database.site_schema import read_schema

            shelf = read_schema(connection, ["local_shelf"]).tables["local_shelf"]
            part = TableSlice("local_shelf", (shelf["name"],), name == "p1", {})
            batches = list(rows_of(connection, part))
            assert len(batches) > 1
            marks.add(digest_of(batches, with_ids=False).mark)
    assert len(marks) == 1
    monkeypatch.setattr(table_copy, "MOST_KEPT_ROWS", 10)
    with sites.mixed.engines["p1"].connect(
        sites.mixed.databases["p1"], read_only=False, one_moment=True
    ) as connection:
        part = TableSlice("local_shelf", (shelf["name"],), True, {})
        change = table_copy.replace_rows(connection, part, [[(7, "x")]], "mdl_", with_ids=True)
    assert (change.before, change.added, change.undo, change.can_undo) == (1000, 1, None, False)


def test_a_row_survives_json() -> None:
    row = (1, "a", b"\0\xff", Decimal("1.50"), None, 0.1)
    assert from_json(as_json(row)) == row
