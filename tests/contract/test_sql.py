"""`vmoodle sql` on real servers of both engines in one fleet: asked, tried out, changed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests import servers
from tests.fleet import Fleet
from tests.registered import register

from vmoodle.engines.protocol import Engine, SiteDatabase, open_engine
from vmoodle.installation import Installation

NAMES = ["m1", "m2", "p1", "p2"]


@dataclass
class Mixed:
    """Two sites on each engine; `m2` and `p2` have another prefix."""

    fleet: Fleet
    engines: dict[str, Engine] = field(default_factory=dict)
    databases: dict[str, SiteDatabase] = field(default_factory=dict)

    def ask(self, name: str, sql: str) -> list[tuple[Any, ...]]:
        with self.engines[name].connect(self.databases[name]) as connection:
            return list(connection.query(sql))

    def sql(self, *words: str, status: int = 0) -> dict[str, dict[str, Any]]:
        document = self.fleet.json("sql", *words, status=status)
        assert document["summary"]["sites"] == len(document["results"])
        found = {row["site"]: row for row in document["results"]}
        if "*" in words:
            assert found.keys() == self.databases.keys()
        return found


@pytest.fixture(scope="module")
def both() -> Iterator[dict[str, servers.PrivateServer]]:
    with ExitStack() as stack:
        yield {
            engine: stack.enter_context(servers.private_server(engine))
            for engine in ("mariadb", "postgresql")
        }


@pytest.fixture
def mixed(both: dict[str, servers.PrivateServer], installation: Installation, home: Path) -> Mixed:
    made = Mixed(Fleet(home))
    for name in NAMES:
        kind = "mariadb" if name.startswith("m") else "postgresql"
        server = both[kind]
        made.engines[name] = open_engine(server.address)
        made.databases[name] = register(
            installation, kind, server.url, made.engines[name], name,
            prefix="mdl_" if name.endswith("1") else "x_",
        )  # fmt: skip
    return made


def test_both_engines_answer_one_question_and_the_run_is_kept(mixed: Mixed) -> None:
    document = mixed.fleet.json("sql", "SELECT COUNT(*) AS n FROM {user}", "--on", "*")
    assert document["command"] == "sql.read"
    assert document["summary"]["ok"] == 4
    for row, name in zip(document["results"], NAMES, strict=True):
        assert (row["site"], row["status"], row["rows"]) == (name, "ok", [{"n": 2}])
        assert row["duration_ms"] >= 0
    kept = mixed.fleet.json("run", "show", document["run"])
    assert kept["results"] == document["results"]
    shown = mixed.fleet.run("sql", "SELECT COUNT(*) AS n FROM {user}", "--on", "*")
    assert "4      2    m1, m2, p1, p2" in shown.stdout
    (one,) = mixed.sql("SELECT username, deleted FROM {user} ORDER BY id", "--on", "p1").values()
    assert one["rows"] == [
        {"username": "admin", "deleted": 0}, {"username": "50% of 'x'", "deleted": 1}
    ]  # fmt: skip


def test_equal_answers_of_two_engines_stand_together(mixed: Mixed, tmp_path: Path) -> None:
    for words in (
        ("SELECT COUNT(*) FROM {user}",),
        ("SELECT 2",),
        ("SELECT COUNT(id) FROM {user}", "--dialect", "postgresql"),
    ):
        shown = mixed.fleet.run("sql", *words, "--on", "*")
        assert "4      2    m1, m2, p1, p2" in shown.stdout
    asked = ("SELECT MAX(id), COUNT(*) FROM {user} GROUP BY deleted", "--on", "m1, p1")
    shown = mixed.fleet.run("sql", *asked)
    assert shown.stdout.splitlines()[0].split() == ["SITE", "max", "count"]
    run = mixed.fleet.json("sql", *asked)["run"]
    mixed.fleet.run("run", "export", run, str(tmp_path / "both.csv"))
    assert (tmp_path / "both.csv").read_text().splitlines()[0] == "site,max,count"


def test_parameters_are_bound_and_a_script_is_read(mixed: Mixed, tmp_path: Path) -> None:
    sql = "SELECT id FROM {user} WHERE username LIKE '50%' AND username = :name"
    rows = mixed.sql(sql, "--on", "*", "--param", "name=50% of 'x'")
    assert all(row["value"] == 2 for row in rows.values())
    script = tmp_path / "script.sql"
    script.write_text("SELECT 1; -- first\nSELECT ';' AS last\n;")
    rows = mixed.sql("--file", str(script), "--on", "*")
    assert [row["value"] for row in rows.values()] == [";"] * 4
    mixed.fleet.run(
        "query", "save", "users", "SELECT COUNT(*) FROM {user}", "--note", "All of them"
    )
    assert mixed.sql("--query", "users", "--on", "m*")["m2"]["value"] == 2
    assert [row["query"] for row in mixed.fleet.json("query", "list", "them")] == ["users"]
    mixed.fleet.run("query", "delete", "users")
    assert mixed.fleet.problem("query", "show", "users")["code"] == "sql.query.unknown"


def test_a_parameter_from_a_file_is_shown_and_kept_nowhere(mixed: Mixed, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s3cret-of-mail\n")
    sql = "UPDATE {user} SET username = :pw WHERE id = 2"
    words = (sql, "--param-file", f"pw={secret}", "--write", "--yes", "--confirm", ",".join(NAMES))
    ended = mixed.fleet.run("sql", *words, "--on", "*")
    assert "s3cret" not in ended.stdout + ended.stderr
    assert mixed.ask("p2", "SELECT username FROM {user} WHERE id = 2") == [("s3cret-of-mail",)]
    run = mixed.fleet.json("run", "list", "--command", "sql.write")[0]
    assert run["parameters"]["secrets"] == "***"
    assert mixed.fleet.problem("run", "again", run["run"], "--yes")["code"] == "run.secret"
    asked = ("SELECT id FROM {user} WHERE username = :pw", "--param-file", "pw=-", "--json")
    told = mixed.fleet.run("sql", *asked, "--on", "*", stdin="s3cret-of-mail")
    assert {row["value"] for row in json.loads(told.stdout)["results"]} == {2}
    refused = "SELECT id FROM {user} WHERE CAST(:pw AS {nosuch}) = 1 AND id = :pw"
    failed = mixed.fleet.run("sql", refused, *asked[1:], "--on", "*", stdin="s3cret", status=1)
    for text in (told.stdout, failed.stdout, failed.stderr, str(mixed.fleet.json("run", "list"))):
        assert "s3cret" not in text
    assert b"s3cret" not in (mixed.fleet.home / "registry.sqlite3").read_bytes()


def test_a_server_that_quotes_a_secret_is_not_repeated(mixed: Mixed, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("admin-s3cret")
    make = "INSERT INTO {user} (id, username, deleted) SELECT :pw, 'x', 0 FROM {user}"
    words = ("sql", make, "--param-file", f"pw={secret}", "--write", "--dry-run", "--on", "*")
    told = mixed.fleet.json(*words, status=1)
    said = str([row["error"] for row in told["results"]])
    assert "s3cret" not in said
    assert "***" in said


def test_one_dialect_is_put_into_the_other(mixed: Mixed) -> None:
    sql = "SELECT GROUP_CONCAT(`username` SEPARATOR '+') AS x FROM {user} WHERE deleted = :d"
    words = ("--on", "*", "--dialect", "mariadb", "--param", "d=0")
    assert {row["value"] for row in mixed.sql(sql, *words).values()} == {"admin"}
    rows = mixed.sql("SHOW TABLES", "--on", "*", "--dialect", "mariadb", status=1)
    assert (rows["m1"]["status"], rows["p1"]["error"]["code"]) == ("ok", "sql.dialect")


def test_nothing_that_only_reads_can_change_a_site(mixed: Mixed) -> None:
    for sql in (
        "DELETE FROM {user}",
        "DROP TABLE {user}",
        "WITH x AS (SELECT 1) DELETE FROM {user}",
        "SELECT 1; UPDATE {user} SET deleted = 9",
        "/*! COMMIT */; DELETE FROM {user}",
    ):
        rows = mixed.sql(sql, "--on", "*", status=1)
        assert {row["status"] for row in rows.values()} == {"failed"}, sql
    for name in NAMES:
        assert mixed.ask(name, "SELECT COUNT(*), MAX(deleted) FROM {user}") == [(2, 1)]


def test_what_is_no_sql_and_what_would_change_is_told_alike_by_both_engines(mixed: Mixed) -> None:
    for typed in ("SELEC 1 FRO", "SELECT 1 FRO M x y", "/* a */ SELEC"):
        rows = mixed.sql(typed, "--on", "*", status=1)
        for row in rows.values():
            assert row["error"]["code"] == "engine.sql"
            assert row["error"]["detail"].startswith("The SQL is not understood: ")
    for changes in ("DELETE FROM {user}", "DROP TABLE {user}"):
        rows = mixed.sql(changes, "--on", "*", status=1)
        ((code, _detail, hint),) = {tuple(row["error"].values()) for row in rows.values()}
        assert code == "engine.sql.readonly"
        assert "--write" in hint
    saved = mixed.fleet.run("query", "save", "typed", "SELEC 1 FRO")
    assert "may not understand it" in saved.stderr
    for sql in ("SELECT id FROM {user} WHERE id = :id", "SELECT a::int LIKE '%' FROM {user}"):
        assert mixed.fleet.json("query", "save", "good", sql) == {"query": "good"}


def test_a_change_is_tried_out_confirmed_and_made(mixed: Mixed) -> None:
    sql = "UPDATE {user} SET deleted = 5 WHERE username = :name"
    words = ("--write", "--on", "*", "--param", "name=admin")
    trial = mixed.sql(sql, *words, "--dry-run")
    assert all(row["value"] == 1 for row in trial.values())
    problem = mixed.fleet.problem("sql", sql, *words, "--yes")
    assert problem["code"] == "run.unconfirmed"
    for name in NAMES:
        assert mixed.ask(name, "SELECT COUNT(*) FROM {user} WHERE deleted = 5") == [(0,)]
    phrase = problem["hint"].split("--confirm ")[1].split(". ")[0]
    done = mixed.sql(sql, *words, "--confirm", phrase)
    assert {row["status"] for row in done.values()} == {"ok"}
    for name in NAMES:
        assert mixed.ask(name, "SELECT COUNT(*) FROM {user} WHERE deleted = 5") == [(1,)]
    runs = mixed.fleet.json("run", "list", "--command", "sql.write")
    assert [(run["dry_run"], run["state"]) for run in runs] == [
        (False, "done"), (True, "done"), (True, "done")
    ]  # fmt: skip
    assert mixed.fleet.json("operation", "list")[0]["kind"] == "fleet.run"
    # Two of four are no more than the share for which a plain yes is enough.
    assert len(mixed.sql(sql, "--write", "--on", "p*", "--param", "name=x", "--yes")) == 2


def test_a_failing_statement_takes_its_site_back_and_no_other(mixed: Mixed) -> None:
    with mixed.engines["p1"].connect(mixed.databases["p1"], read_only=False) as connection:
        connection.execute("ALTER TABLE {user} ADD UNIQUE (deleted)")
    script = "INSERT INTO {user} (username, deleted) VALUES ('new', 7); UPDATE {user} SET deleted=3"
    rows = mixed.sql(script, "--write", "--on", "p*", "--yes", status=1)
    assert rows["p1"]["error"]["code"] == "engine.sql.duplicate"
    assert "Statement 2 of 2" in rows["p1"]["error"]["detail"]
    assert rows["p2"]["rows"] == [
        {"statement": 1, "affected": 1}, {"statement": 2, "affected": 3}
    ]  # fmt: skip
    assert mixed.ask("p1", "SELECT COUNT(*) FROM {user}") == [(2,)]
    assert mixed.ask("p2", "SELECT COUNT(*) FROM {user} WHERE deleted = 3") == [(3,)]
    # None of the sites: nothing is done, and it is said.
    problem = mixed.fleet.problem(
        "sql", "UPDATE {none} SET x = 1", "--write", "--on", "p1", "--yes"
    )
    assert problem["code"] == "run.trial"


def test_what_commits_at_once_is_not_tried_and_said(mixed: Mixed) -> None:
    script = "UPDATE {user} SET deleted = 4; CREATE TABLE {extra} (id int)"
    trial = mixed.sql(script, "--write", "--on", "m1, p1", "--dry-run")
    assert trial["p1"]["rows"][1]["affected"] == 0
    assert trial["m1"]["rows"][1] == {
        "statement": 2, "affected": None, "note": "not tried: it commits at once"
    }  # fmt: skip
    for name in ("m1", "p1"):
        assert mixed.ask(name, "SELECT MAX(deleted) FROM {user}") == [(1,)]
    broken = f"{script}; UPDATE {{none}} SET x = 1"
    assert mixed.sql(broken, "--write", "--on", "m1", "--dry-run", status=1)
    odd = f"{script}; CREATE TABLE {{extra}} (id int)"
    rows = mixed.sql(odd, "--write", "--on", "m1", "--yes", status=1)
    assert (rows["m1"]["status"], rows["m1"]["error"]["code"]) == ("unknown", "sql.partial")
    assert mixed.ask("m1", "SELECT MAX(deleted) FROM {user}") == [(4,)]
    problem = mixed.fleet.problem("sql", "COMMIT", "--write", "--on", "m1", "--yes")
    assert problem["code"] == "sql.transaction"


def test_a_trial_that_could_not_be_taken_back_is_not_made(mixed: Mixed) -> None:
    with mixed.engines["m2"].connect(mixed.databases["m2"], read_only=False) as connection:
        connection.execute("CREATE TABLE {old} (id int) ENGINE=MyISAM")
    rows = mixed.sql("INSERT INTO {old} VALUES (1)", "--write", "--on", "m2", "--dry-run", status=1)
    assert rows["m2"]["error"]["code"] == "sql.trial"
    assert mixed.ask("m2", "SELECT COUNT(*) FROM {old}") == [(0,)]


def test_a_server_that_is_down_and_a_query_that_never_ends_hold_no_other(
    mixed: Mixed, both: dict[str, servers.PrivateServer]
) -> None:
    rows = mixed.sql("SELECT SLEEP(30)", "--on", "m*", "--timeout", "0.5", status=1)
    assert {row["status"] for row in rows.values()} == {"timeout"}
    with both["mariadb"].stopped():
        rows = mixed.sql("SELECT 1 AS n", "--on", "*", status=1)
        assert [rows[name]["status"] for name in NAMES] == ["failed", "failed", "ok", "ok"]
        assert rows["m1"]["error"]["code"] == "engine.connect"
        shown = mixed.fleet.run("target", "show", "sql:SELECT 1", status=1)
        assert "2 sites (m1, m2): could not be asked" in shown.stderr
    run = mixed.fleet.json("run", "list")[0]["run"]
    again = mixed.fleet.json("run", "again", run, "--failed")
    assert [row["status"] for row in again["results"]] == ["ok", "ok"]
    assert again["again_of"] == run
    changed = mixed.fleet.json("run", "diff", run, again["run"])["differences"]
    assert {row["site"]: row["change"] for row in changed} == {
        "m1": "changed", "m2": "changed", "p1": "gone", "p2": "gone"
    }  # fmt: skip


def test_a_script_cannot_wait_longer_than_its_limit(mixed: Mixed) -> None:
    for off in ("SET statement_timeout = 0", "SELECT set_config('statement_timeout', '0', false)"):
        rows = mixed.sql(f"{off}; SELECT pg_sleep(30)", "--on", "p1", "--timeout", "1", status=1)
        assert (rows["p1"]["status"], rows["p1"]["error"]["code"]) == ("timeout", "engine.timeout")
        assert rows["p1"]["duration_ms"] < 4000
    hidden = (
        """DO $$ BEGIN EXECUTE 'SET state' || 'ment_timeout = 0'; END $$; SELECT pg_sleep(30)"""
    )
    rows = mixed.sql(hidden, "--on", "p1", "--timeout", "1", status=1)
    assert (rows["p1"]["status"], rows["p1"]["error"]["code"]) == ("timeout", "engine.timeout")


def test_a_paused_server_is_one_whose_time_ran_out(
    mixed: Mixed, both: dict[str, servers.PrivateServer]
) -> None:
    for kind in ("mariadb", "postgresql"):
        with both[kind].paused():
            rows = mixed.sql("SELECT 1", "--on", f"{kind[0]}1", status=1)
        (row,) = rows.values()
        assert (row["status"], row["error"]["code"]) == ("timeout", "engine.timeout")


def test_what_is_only_queued_is_done_by_a_worker_or_cancelled(mixed: Mixed) -> None:
    fleet = mixed.fleet
    words = ("UPDATE {user} SET deleted = 8", "--write", "--on", "p1", "--yes", "--detach")
    first, second = fleet.json("sql", *words), fleet.json("sql", *words)
    fleet.run("operation", "cancel", second["operation"])
    fleet.run("worker", "--until-idle")
    assert fleet.json("run", "show", first["run"])["summary"]["ok"] == 1
    cancelled = fleet.json("run", "show", second["run"])
    assert (cancelled["state"], cancelled["results"][0]["status"]) == ("cancelled", "cancelled")
    assert mixed.ask("p1", "SELECT COUNT(*) FROM {user} WHERE deleted = 8") == [(2,)]
    # Reading can be left to a worker, too.
    queued = fleet.json("sql", "SELECT 1", "--on", "*", "--detach")
    fleet.run("operation", "follow", queued["operation"])
    assert fleet.json("run", "show", queued["run"])["summary"]["ok"] == 4


def test_an_interrupt_ends_a_question_at_once_and_says_how_to_go_on(mixed: Mixed) -> None:
    words = ["sql", "SELECT SLEEP(30)", "--on", "m*"]
    process = subprocess.Popen(
        [sys.executable, "-c", "from vmoodle.cli.main import main; main()", *words],
        env=mixed.fleet.env(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    asking = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO LIKE 'SELECT SLEEP%'"
    servers.wait_until(lambda: mixed.ask("m1", asking) == [(1,)], "the question")
    process.send_signal(signal.SIGINT)
    _out, said = process.communicate(timeout=20)
    assert process.returncode == 130
    (run,) = mixed.fleet.json("run", "list")
    assert f"vmoodle run again {run['run']} --failed" in said
    assert (run["state"], run["summary"]["cancelled"]) == ("cancelled", 2)


def test_queries_decide_which_sites_are_meant(mixed: Mixed) -> None:
    with mixed.engines["p2"].connect(mixed.databases["p2"], read_only=False) as connection:
        connection.execute("DELETE FROM {user}")
    few = mixed.fleet.json("target", "show", "sql:SELECT COUNT(*) < 2 FROM {user}")
    assert [site["shortname"] for site in few["sites"]] == ["p2"]
    rest = mixed.fleet.json(
        "target", "show", "!sql:'SELECT COUNT(*) < 2 FROM {user}' & version:4.5*"
    )
    assert [site["shortname"] for site in rest["sites"]] == ["m1", "m2", "p1"]
    for query, code in (("nothing FROM {user}", "engine.sql"), ("1; SELECT 2", "target.query")):
        assert mixed.fleet.problem("target", "show", f"sql:SELECT {query}")["code"] == code
    document = mixed.fleet.json("target", "show", "sql:SELECT 'banana'", status=1)
    assert {row["code"] for row in document["undecided"]} == {"target.value"}
    # DDL in what only reads.
    mixed.fleet.json("target", "show", "sql:DROP TABLE {user}", status=1)
    assert mixed.ask("p1", "SELECT COUNT(*) FROM {user}") == [(2,)]


def test_answers_are_cut_at_their_caps(mixed: Mixed, tmp_path: Path) -> None:
    long = "SELECT REPEAT('x', 900) AS x, id FROM {user} ORDER BY id"
    environment = mixed.fleet.environment
    for cap, value in (("VMOODLE_FLEET__MOST_BYTES", "1000"), ("VMOODLE_FLEET__MOST_ROWS", "1")):
        environment[cap] = value
        said = "m1, m2, p1, p2: only the first 1 row(s) were kept"
        shown = mixed.fleet.run("sql", long, "--on", "*")
        run = mixed.fleet.json("run", "list")[0]["run"]
        exported = mixed.fleet.run("run", "export", run, str(tmp_path / f"{value}.csv"))
        for one in (shown, mixed.fleet.run("run", "show", run), exported):
            assert f"{said} (fleet.most_rows, fleet.most_bytes)" in one.stderr
        del environment[cap]
    environment["VMOODLE_FLEET__MOST_ROWS"] = "1"
    rows = mixed.sql("SELECT id FROM {user} ORDER BY id", "--on", "*")
    assert all((row["rows"], row["truncated"]) == ([{"id": 1}], True) for row in rows.values())


def test_bad_input_is_told_and_nothing_is_run(mixed: Mixed, tmp_path: Path) -> None:
    for words, code in (
        ((), "sql.which"),
        (("SELECT 1", "--file", "x"), "sql.which"),
        (("--file", str(tmp_path / "none")), "command.file"),
        (("--query", "none"), "sql.query.unknown"),
        ((" ; ",), "sql.empty"),
        (("SELECT 'a; SELECT 2",), "sql.syntax"),
        (("SELECT :a", "--param", "b=1"), "sql.parameter"),
        (("SELECT :a",), "sql.parameter"),
        (("SELECT 1", "--dialect", "oracle"), "command.parameter"),
    ):
        assert mixed.fleet.problem("sql", *words, "--on", "*")["code"] == code, words
    for on, code in (("x*", "target.none"), ("((", "target.expression"), ("", "target.nothing")):
        assert mixed.fleet.problem("sql", "SELECT 1", "--on", on)["code"] == code
    assert mixed.fleet.json("run", "list") == []
    assert mixed.sql(r"SELECT '\', ':a'", "--on", "p1")["p1"]["status"] == "ok"
    run = mixed.fleet.json("sql", "SELECT id, '=1' AS f FROM {user}", "--on", "p1")["run"]
    mixed.fleet.run("run", "export", run, str(tmp_path / "out.csv"))
    assert (tmp_path / "out.csv").read_text().splitlines() == ["site,id,f", "p1,1,'=1", "p1,2,'=1"]
    assert json.loads((mixed.fleet.run("run", "show", run, "--json")).stdout)["run"] == run


def test_what_a_site_answers_steers_no_terminal_and_tears_no_table(mixed: Mixed) -> None:
    sql = r"SELECT E'\x1b[31mred\x1b[0m' AS x, E'l1\nl2' AS y, REPEAT('z', 300) AS z"
    shown = mixed.fleet.run("sql", sql, "--on", "p1, p2").stdout.splitlines()
    assert [line.split()[0] for line in shown] == ["SITE", "p1", "p2"]
    assert r"\x1b[31mred\x1b[0m  l1\nl2" in shown[1]
    assert shown[1].endswith("z… (300 characters)")
    row = mixed.sql(sql, "--on", "p1")["p1"]["rows"][0]
    assert (row["x"], row["y"], len(row["z"])) == ("\x1b[31mred\x1b[0m", "l1\nl2", 300)


def test_a_script_is_one_transaction_whether_it_asks_or_changes(mixed: Mixed) -> None:
    for script in ("BEGIN; SELECT 2", "COMMIT; DELETE FROM {user}"):
        for words in ((), ("--write", "--yes")):
            problem = mixed.fleet.problem("sql", script, *words, "--on", "p1")
            assert problem["code"] == "sql.transaction"
    told = mixed.fleet.run("sql", "SELECT :name", "--param", "name", "--on", "*", status=2).stderr
    assert "The parameter name lacks the = and its value (name=VALUE)." in told
    assert "--param NAME=VALUE" in told
