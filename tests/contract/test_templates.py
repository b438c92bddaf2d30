"""Templates: captured without identity, deployed cold and warm, never half-made."""

from __future__ import annotations

import base64
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from tests import servers
from tests.contract.copies import OLD, TRAPS, CopyFleet, copies
from tests.fleet import LIMIT_SECONDS

from vmoodle.moodle.database import content_urls

__all__ = ["copies"]
SECRET = "planted-s3cret"


@pytest.fixture(scope="module")
def template(copies: CopyFleet) -> str:
    copies.fleet.run("template", "create", "base", "--from", "first", "--note", "the base")
    return "base"


def test_a_template_holds_no_secret_and_no_address_of_its_source(
    copies: CopyFleet, template: str
) -> None:
    database = copies.template(template)
    config = copies.config(database)
    assert SECRET not in config.values()
    with copies.engine.connect(database) as connection:
        assert content_urls.find(connection, OLD) == []
    sql = "SELECT description FROM {role} WHERE shortname = 'student'"
    ((text,),) = copies.rows(database, sql)
    assert TRAPS[0] in text
    assert TRAPS[2] in text
    assert copies.config(copies.database("first"))["smtppass"] == SECRET


def test_a_template_tells_what_it_is_and_where_it_fits(copies: CopyFleet, template: str) -> None:
    facts = copies.fleet.json("template", "show", template)
    assert facts["state"] == "ready"
    assert facts["fits"] == ["sandbox"]
    assert facts["source"] == "first"
    assert facts["files"] == 1
    assert [row["name"] for row in copies.fleet.json("template", "list")] == [template]


def test_a_site_from_a_template_is_itself_and_no_sister(copies: CopyFleet, template: str) -> None:
    name = 'École «deux»; it\'s "x" & co'
    copies.make("site", "create", "one", "--url", "http://one.example.test", "--template", template)
    copies.make(
        "site", "create", "two", "--url", "http://two.example.test/sub", "--name", name,
        "--template", template,
    )  # fmt: skip
    one, two = (copies.config(copies.database(site)) for site in ("one", "two"))
    first = copies.config(copies.database("first"))
    assert len({config["siteidentifier"] for config in (one, two, first)}) == 3
    with copies.engine.connect(copies.database("two")) as connection:
        assert content_urls.find(connection, OLD) == []
        found = content_urls.find(connection, "http://two.example.test/sub")
    assert ("role", "description", 1) in found
    (fullname,) = copies.rows(copies.database("two"), "SELECT fullname FROM {course} WHERE id = 1")
    assert fullname[0] == name
    pool = Path(copies.fleet.json("site", "show", "two")["dataroot"]) / "filedir" / "0b" / "ee"
    assert [path.read_text() for path in pool.iterdir()] == ["foo"]
    assert all(row["ok"] for row in copies.fleet.json("hook", "check"))


def test_another_prefix_renames_tables_and_leaves_content_alone(
    copies: CopyFleet, template: str
) -> None:
    copies.make("site", "create", "prefixed", "--url", "http://prefixed.example.test",
                "--template", template, "--prefix", "x9_")  # fmt: skip
    database = copies.database("prefixed")
    assert {name[:3] for name in copies.engine.tables(database)} == {"x9_"}
    ((text,),) = copies.rows(database, "SELECT description FROM {role} WHERE shortname = 'student'")
    assert TRAPS[0] in text
    assert copies.fleet.json("hook", "check", "prefixed")[0]["ok"]
    words = ("site", "create", "bad", "--url", "http://bad.example.test", "--template", template)
    problem = copies.fleet.problem(*words, "--prefix", "x-9;", "--detach")
    assert problem["code"] == "site.prefix.invalid"


def test_a_warm_copy_is_claimed_and_another_made_in_its_place(
    copies: CopyFleet, template: str
) -> None:
    copies.fleet.run("template", "warm", template, "--keep", "1")
    waiting = copies.fleet.json("template", "show", template)
    assert waiting["warm"] == 1
    copies.make("site", "create", "hot", "--url", "http://hot.example.test", "--template", template)
    assert "_w_" in copies.fleet.json("site", "show", "hot")["database"]
    assert copies.fleet.json("hook", "check", "hot")[0]["ok"]
    copies.fleet.run("worker", "--until-idle")
    assert copies.fleet.json("template", "show", template)["warm"] == 1
    copies.fleet.assert_clean()
    copies.fleet.run("site", "suspend", "hot")
    copies.fleet.run("site", "delete", "hot", "--confirm", "hot", "--purge")
    copies.fleet.run("template", "warm", template, "--keep", "0")
    copies.fleet.assert_clean()


def test_two_deployments_at_once_from_one_template_both_come_to_be(
    copies: CopyFleet, template: str
) -> None:
    copies.fleet.run("template", "warm", template, "--keep", "1")
    words = ("--template", template, "--admin-password-out")
    started = [
        copies.fleet.start(
            "site", "create", name, "--url", f"http://{name}.example.test", *words,
            str(copies.fleet.home / f"{name}.password"),
        )
        for name in ("twin1", "twin2")
    ]  # fmt: skip
    assert [process.wait(LIMIT_SECONDS) for process in started] == [0, 0]
    names = {copies.fleet.json("site", "show", n)["database"] for n in ("twin1", "twin2")}
    assert len(names) == 2
    assert all(row["ok"] for row in copies.fleet.json("hook", "check", "twin*"))
    assert copies.fleet.problem("hook", "check", "none*")["code"] == "target.none"
    copies.fleet.run("template", "warm", template, "--keep", "0")


def test_a_template_in_use_is_not_deleted_and_an_unfit_one_not_deployed(
    copies: CopyFleet, template: str
) -> None:
    problem = copies.fleet.problem("template", "delete", template, "--confirm", "typo")
    assert problem["code"] == "template.delete.unconfirmed"
    words = ("site", "create", "late", "--url", "http://late.example.test", "--template", template)
    ordered = copies.fleet.json(*words, "--detach")
    problem = copies.fleet.problem("template", "delete", template, "--confirm", template)
    assert problem["code"] == "template.used"
    copies.fleet.run("operation", "cancel", ordered["operation"])
    copies.fleet.run("worker", "--until-idle")
    assert copies.fleet.problem("site", "show", "late")["code"] == "site.unknown"
    tree = Path(copies.fleet.json("codebase", "show", "sandbox")["path"])
    plugin = tree / "mod" / "page" / "version.php"
    before = plugin.read_text()
    plugin.write_text(before.replace("2024", "2025"))
    try:
        problem = copies.fleet.problem(*words, "--detach")
        assert problem["code"] == "source.version"
    finally:
        plugin.write_text(before)
    assert copies.fleet.problem(*words[:-1], "nobase", "--detach")["code"] == "template.unknown"


def test_a_refreshed_template_holds_what_its_source_holds_now(copies: CopyFleet) -> None:
    copies.make("site", "clone", "first", "tuned", "--url", "http://tuned.example.test")
    copies.fleet.run("template", "create", "tuned", "--from", "tuned")
    copies.fleet.run("template", "warm", "tuned", "--keep", "1")
    before = copies.fleet.json("template", "show", "tuned")
    with copies.engine.connect(copies.database("tuned"), read_only=False) as connection:
        connection.execute("UPDATE {role} SET description = 'tuned' WHERE shortname = 'student'")
    copies.fleet.run("template", "refresh", "tuned")
    after = copies.fleet.json("template", "show", "tuned")
    assert (after["revision"], after["warm"]) == (before["revision"] + 1, 0)
    assert not copies.engine.database_exists(before["database"])
    assert not Path(before["directory"]).exists()
    words = ("--template", "tuned")
    copies.make("site", "create", "fresh", "--url", "http://fresh.example.test", *words)
    sql = "SELECT description FROM {role} WHERE shortname = 'student'"
    assert copies.rows(copies.database("fresh"), sql) == [("tuned",)]
    copies.fleet.run("worker", "--until-idle")
    assert copies.fleet.json("template", "show", "tuned")["warm"] == 1
    copies.fleet.run("template", "delete", "tuned", "--confirm", "tuned")
    copies.fleet.assert_clean()


def test_a_template_captured_anew_from_another_server_leaves_nothing_on_the_first(
    copies: CopyFleet,
) -> None:
    fleet, kind = copies.fleet, copies.engine.address.engine
    before = copies.engine.list_databases()
    fleet.run("template", "create", "mover", "--from", "first")
    fleet.run("template", "warm", "mover", "--keep", "1")
    place = fleet.home.parent / "second-server"
    with getattr(servers, f"private_{kind}")(place) as second:
        fleet.run("server", "add", "second", second.url)
        copies.make(
            "site", "create", "there", "--url", "http://there.example.test", "--server", "second"
        )
        fleet.run("template", "refresh", "mover", "--from", "there")
        assert fleet.json("template", "show", "mover")["server"] == "second"
        assert copies.engine.list_databases() == before
        fleet.assert_clean()
        fleet.run("template", "delete", "mover", "--confirm", "mover")
        fleet.run("site", "suspend", "there")
        fleet.run("site", "delete", "there", "--confirm", "there", "--purge")
        fleet.run("server", "remove", "second")


def test_a_template_deleted_leaves_nothing(copies: CopyFleet) -> None:
    before = copies.engine.list_databases()
    copies.fleet.run("template", "create", "gone", "--from", "first", "--people")
    directory = Path(copies.fleet.json("template", "show", "gone")["directory"])
    copies.fleet.run("template", "warm", "gone", "--keep", "1")
    copies.fleet.run("template", "delete", "gone", "--confirm", "gone")
    assert not directory.exists()
    assert copies.engine.list_databases() == before
    copies.fleet.assert_clean()


def test_a_clone_keeps_its_people_and_a_policy_hides_them(copies: CopyFleet) -> None:
    copies.make("site", "clone", "first", "staging", "--url", "http://staging.example.test",
                "--sanitise", "staging")  # fmt: skip
    config = copies.config(copies.database("staging"))
    assert SECRET not in config.values()
    assert config["cron_enabled"] == "0"
    policies = copies.fleet.json("site", "policies")
    assert {"staging", "anonymous"} <= {policy["policy"] for policy in policies}
    assert all(rule["reason"] for policy in policies for rule in policy["rules"])
    problem = copies.fleet.problem("site", "clone", "first", "x", "--url", "http://x.example.test",
                                   "--sanitise", "none", "--detach")  # fmt: skip
    assert problem["code"] == "sanitise.unknown"


def test_a_moved_site_answers_at_its_new_address_and_the_old_one_leads_there(
    copies: CopyFleet,
) -> None:
    copies.make("site", "clone", "first", "mover", "--url", "http://mover.example.test")
    new = "https://moved.example.test/school"
    plan = copies.fleet.json("site", "move", "mover", "--url", new, "--dry-run")
    assert plan["cells"] > 0
    copies.fleet.run("site", "move", "mover", "--url", new)
    facts = copies.fleet.json("site", "show", "mover")
    assert (facts["url"], facts["state"]) == (new, "enabled")
    assert facts["aliases"] == ["mover.example.test"]
    with copies.engine.connect(copies.database("mover")) as connection:
        assert content_urls.find(connection, "http://mover.example.test") == []
    assert copies.fleet.json("hook", "check", "mover")[0]["ok"]
    taken = copies.fleet.problem("site", "move", "mover", "--url", OLD)
    assert taken["code"] == "site.url.taken"


def test_a_deleted_site_comes_back_whole_and_is_purged_with_a_certificate(
    copies: CopyFleet,
) -> None:
    fleet = copies.fleet
    copies.make("site", "clone", "first", "brief", "--url", "http://brief.example.test")
    assert fleet.problem("site", "delete", "brief", "--confirm", "brief")["code"] == "site.enabled"
    fleet.run("site", "suspend", "brief")
    problem = fleet.problem("site", "purge", "brief", "--confirm", "brief")
    assert problem["code"] == "site.purge.suspended"
    taken = fleet.json("site", "delete", "brief", "--confirm", "brief")["snapshot"]
    facts = fleet.json("snapshot", "show", taken)
    assert (facts["reason"], facts["state"], facts["pinned"]) == ("deletion", "ready", True)
    assert fleet.json("site", "show", "brief")["state"] == "deleted"
    again = fleet.problem("site", "delete", "brief", "--confirm", "brief")
    assert again["code"] == "site.deleted"
    assert (
        fleet.problem("site", "purge", "brief", "--confirm", "brief")["code"] == "site.purge.grace"
    )
    assert fleet.json("site", "purge", "--expired") == []
    fleet.assert_clean()
    fleet.run("site", "revive", "brief")
    fleet.run("site", "resume", "brief")
    assert fleet.json("hook", "check", "brief")[0]["ok"]
    assert not fleet.json("snapshot", "show", taken)["pinned"]
    fleet.run("site", "suspend", "brief")
    last = fleet.json("site", "delete", "brief", "--confirm", "brief")["snapshot"]
    database = fleet.json("site", "show", "brief")["database"]
    words = ("site", "purge", "brief", "--confirm", "brief", "--now")
    fleet.run("snapshot", "pin", taken)
    assert fleet.problem(*words, "--with-snapshots")["code"] == "snapshot.pinned"
    fleet.run("snapshot", "unpin", taken)
    (certificate,) = fleet.json(*words, "--with-snapshots")
    assert certificate["snapshots_deleted"] == [last, taken]
    assert fleet.json("snapshot", "list", "brief") == []
    assert database in {thing["name"] for thing in certificate["destroyed"]}
    assert not copies.engine.database_exists(database)
    assert fleet.problem("site", "show", "brief")["code"] == "site.unknown"


def test_a_restored_site_has_its_key_its_repository_and_the_caches_it_was_given(
    copies: CopyFleet, template: str
) -> None:
    copies.make(
        "site", "create", "own", "--url", "http://own.example.test", "--template", template
    )  # fmt: skip
    dataroot = Path(copies.fleet.json("site", "show", "own")["dataroot"])
    files = {"secret/key/sodium.key": "key", "repository/maps/a b.txt": "map", "muc/own.php": "one"}
    for name, content in files.items():
        (dataroot / name).parent.mkdir(parents=True, exist_ok=True)
        (dataroot / name).write_text(content)
    (taken,) = copies.fleet.json("snapshot", "create", "own")
    (dataroot / "secret/key/sodium.key").unlink()
    (dataroot / "repository/maps/a b.txt").write_text("spoilt")
    (dataroot / "muc/own.php").write_text("two")
    copies.fleet.run("snapshot", "restore", taken["id"], "--confirm", "own")
    found = {name: (dataroot / name).read_text() for name in files}
    assert found == files | {"muc/own.php": "two"}

    for name, source in (("copy", ("clone", "own")), ("anew", ("create",))):
        words = ["--snapshot", taken["id"]] if name == "anew" else []
        copies.make(
            "site", source[0], *source[1:], name, "--url", f"http://{name}.example.test", *words
        )
        other = Path(copies.fleet.json("site", "show", name)["dataroot"])
        assert (other / "repository/maps/a b.txt").read_text() == "map"
        assert not (other / "secret/key/sodium.key").exists()


def test_a_snapshot_taken_while_somebody_writes_restores_to_what_was_whole(
    copies: CopyFleet,
) -> None:
    copies.make("site", "clone", "first", "busy", "--url", "http://busy.example.test")
    database = copies.database("busy")
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            with copies.engine.connect(database, read_only=False) as connection:
                connection.execute(
                    "INSERT INTO {config} (name, value) VALUES (%s, 'x')", (f"pair{number}",)
                )
                connection.execute(
                    "INSERT INTO {config_plugins} (plugin, name, value) VALUES ('pair', %s, 'x')",
                    (f"pair{number}",),
                )

    writer = threading.Thread(target=write)
    writer.start()
    try:
        (taken,) = copies.fleet.json("snapshot", "create", "busy", "--note", "while writing")
    finally:
        stop.set()
        writer.join()
    with copies.engine.connect(database, read_only=False) as connection:
        connection.execute("UPDATE {course} SET fullname = 'spoilt'")
    pool = Path(copies.fleet.json("site", "show", "busy")["dataroot"]) / "filedir" / "0b" / "ee"
    (file,) = pool.iterdir()
    file.unlink()
    assert copies.fleet.json("snapshot", "verify", taken["id"])["ok"]
    problem = copies.fleet.problem("snapshot", "restore", taken["id"])
    assert problem["code"] == "snapshot.restore.unconfirmed"
    copies.fleet.run("snapshot", "restore", taken["id"], "--confirm", "busy")
    restored = copies.database("busy")
    one = copies.rows(restored, "SELECT name FROM {config} WHERE name LIKE 'pair%%' ORDER BY name")
    other = copies.rows(
        restored, "SELECT name FROM {config_plugins} WHERE plugin = 'pair' ORDER BY name"
    )
    assert one == other
    assert copies.rows(restored, "SELECT 1 FROM {course} WHERE fullname = 'spoilt'") == []
    assert file.read_text() == "foo"
    assert copies.fleet.json("hook", "check", "busy")[0]["ok"]
    copies.fleet.assert_clean()


def test_a_snapshot_becomes_a_new_site_and_goes_and_comes_in_one_file(copies: CopyFleet) -> None:
    (taken,) = copies.fleet.json("snapshot", "create", "first")
    path = copies.fleet.home / "first.snapshot"
    copies.fleet.run("snapshot", "export", taken["id"], str(path))
    copies.fleet.run("snapshot", "delete", taken["id"])
    assert copies.fleet.problem("snapshot", "show", taken["id"])["code"] == "snapshot.unknown"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert (
        copies.fleet.problem("snapshot", "import", str(path))["code"] == "store.archive.truncated"
    )
    path.write_bytes(whole)
    copies.fleet.run("snapshot", "import", str(path))
    copies.make("site", "create", "again", "--url", "http://again.example.test", "--snapshot",
                taken["id"])  # fmt: skip
    with copies.engine.connect(copies.database("again")) as connection:
        assert content_urls.find(connection, OLD) == []
    assert copies.fleet.json("hook", "check", "again")[0]["ok"]
    outcome = copies.fleet.json("snapshot", "prune", "first", "--keep", "last=1", "--dry-run")
    assert outcome == {"deleted": [], "kept": [taken["id"]], "pinned": []}


def test_a_site_whose_database_is_gone_is_not_moved_and_not_held(copies: CopyFleet) -> None:
    fleet, new = copies.fleet, "http://found.example.test"
    copies.make("site", "clone", "first", "lost", "--url", "http://lost.example.test")
    fleet.run("site", "suspend", "lost", "--reason", "for now")
    (taken,) = fleet.json("snapshot", "create", "lost")
    ordered = fleet.json("site", "move", "lost", "--url", new, "--detach")["operation"]
    # As its administrator would: the rights of the site's account stay.
    gone = replace(copies.database("lost"), account=copies.engine.address.user)
    copies.engine.drop_database(gone)
    followed = fleet.problem("operation", "follow", ordered, failed=True)
    assert followed["code"] == "engine.database.missing"
    assert "snapshot restore" in followed["hint"]
    assert fleet.json("operation", "show", ordered)["state"] == "reverted"
    facts = fleet.json("site", "show", "lost")
    assert (facts["state"], facts["reason"]) == ("suspended", "for now")
    refused = fleet.problem("site", "move", "lost", "--url", new)
    assert refused["code"] == "engine.database.missing"
    fleet.run("snapshot", "restore", taken["id"], "--confirm", "lost")
    fleet.run("site", "move", "lost", "--url", new)
    assert fleet.json("site", "show", "lost")["url"] == new
    fleet.run("site", "delete", "lost", "--confirm", "lost", "--purge")


def test_a_fill_that_nobody_has_begun_gives_way(copies: CopyFleet) -> None:
    fleet = copies.fleet
    fleet.run("template", "create", "brisk", "--from", "first")
    for words in (("refresh", "brisk"), ("delete", "brisk", "--confirm", "brisk")):
        queued = fleet.json("template", "warm", "brisk", "--keep", "1", "--detach")["operation"]
        fleet.run("template", *words)
        assert fleet.json("operation", "show", queued)["state"] == "cancelled"
        # Nor does the next executor begin it.
        fleet.run("worker", "--until-idle")
        assert fleet.json("operation", "show", queued)["state"] == "cancelled"
    fleet.assert_clean()


def test_what_keeps_an_address_and_what_nobody_has_judged_is_named(copies: CopyFleet) -> None:
    fleet = copies.fleet
    copies.make("site", "clone", "first", "odd", "--url", "http://odd.example.test")
    broken = b'O:8:"stdClass":1:{s:4:"text";s:9:"http://odd.example.test/x";}'
    with copies.engine.connect(copies.database("odd"), read_only=False) as connection:
        connection.execute(
            "INSERT INTO {block_instances} (blockname, parentcontextid, showinsubcontexts,"
            " pagetypepattern, defaultregion, defaultweight, configdata, timecreated, timemodified)"
            " VALUES ('html', 1, 0, '*', 'side-pre', 0, %s, 0, 0)",
            (base64.b64encode(broken).decode(),),
        )
        connection.execute(
            "CREATE TABLE {local_acme} (id BIGINT, apitoken VARCHAR(20), email VARCHAR(20))"
        )
        connection.execute("INSERT INTO {local_acme} VALUES (1, 'hidden', 'a@example.test')")
    said = fleet.run("template", "create", "oddly", "--from", "odd").stderr
    assert "left as it is: block_instances.configdata" in said
    assert "local_acme.apitoken, local_acme.email" in said
    assert fleet.json("template", "show", "oddly")["content_left"] == 1
    assert "left as it is" in fleet.run("template", "refresh", "oddly").stderr
    assert fleet.json("template", "show", "oddly")["content_left"] == 1
    path = fleet.home.parent / "oddly.template"
    fleet.run("template", "export", "oddly", str(path))
    fleet.run("template", "import", str(path), "--name", "odder")
    assert fleet.json("template", "show", "odder")["content_left"] == 1
    for words, named in (
        (("site", "create", "odd1", "--template", "oddly"), "1 cell(s) have the address"),
        (
            ("site", "clone", "odd", "odd2", "--sanitise", "anonymous"),
            "local_acme.apitoken, local_acme.email",
        ),
        (("site", "clone", "odd", "odd3", "--sanitise", "staging"), "look at: local_acme.apitoken"),
    ):
        name = words[2] if words[1] == "create" else words[3]
        url = f"http://{name}.example.test"
        copies.make(*words, "--url", url)
        (operation,) = fleet.json("operation", "list", "--site", name)
        shown = fleet.json("operation", "show", operation["id"])
        log = "\n".join(event["message"] for event in shown["events"])
        assert named in log
        if name == "odd3":
            assert shown["result"]["unjudged"] == ["local_acme.apitoken"]
            assert "local_acme.email" not in log
