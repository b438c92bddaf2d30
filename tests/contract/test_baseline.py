"""`vmoodle baseline` on real Moodle databases of both engines: applied, drifted, taken back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.contract.test_sql import both
from tests.fixtures import load_fixture
from tests.fleet import Fleet
from tests.registered import register
from tests.servers import PrivateServer

from vmoodle.engines.protocol import Engine, SiteDatabase, open_engine
from vmoodle.installation import Installation

__all__ = ["both"]

SITES = {
    "m45": ("mariadb", "4.5.5"), "p45": ("postgresql", "4.5.5"), "p51": ("postgresql", "5.1.0")
}  # fmt: skip
LIKE = {
    "config": "SELECT name, value FROM {config} ORDER BY name",
    "plugins": "SELECT plugin, name, value FROM {config_plugins} ORDER BY plugin, name",
    "roles": "SELECT id, shortname, name, archetype FROM {role} ORDER BY id",
    "capabilities": "SELECT contextid, roleid, capability, permission FROM {role_capabilities}"
    " ORDER BY roleid, contextid, capability",
    "modules": "SELECT name, visible FROM {modules} ORDER BY name",
    "filters": "SELECT filter, active FROM {filter_active} ORDER BY filter",
}
BASELINE = """
version: 1
name: school
settings:
  forcelogin: 1
  quiz/timelimit: 3600
  registerauth: null
roles:
  - shortname: student
    beyond: keep
    permissions: {mod/forum:replypost: prevent, mod/quiz:attempt: inherit}
  - shortname: tutor
    name: Tutor
    context_levels: [course]
    permissions: {moodle/course:view: allow}
    allows: {view: [student, mentor]}
  - shortname: mentor
    allows: {view: [tutor]}
plugins:
  mod_folder: disabled
  editor_tiny: disabled
  filter_emoticon: available
"""


@dataclass
class School:
    """A site of 4.5 on each engine, and one of 5.1."""

    fleet: Fleet
    directory: Path
    engines: dict[str, Engine] = field(default_factory=dict)
    databases: dict[str, SiteDatabase] = field(default_factory=dict)

    def file(self, text: str) -> str:
        path = self.directory / "baseline.yml"
        path.write_text(text)
        return str(path)

    def run(self, verb: str, text: str, on: str = "*", *words: str, status: int = 0) -> Any:
        """Return the rows of each site by part and name."""
        document = self.fleet.json(
            "baseline", verb, self.file(text), "--on", on, *words, status=status
        )
        return {
            site["site"]: {(row["part"], row["name"]): row for row in site.get("rows", ())}
            | ({"error": site["error"]} if "error" in site else {})
            for site in document["results"]
        }

    def apply(self, text: str, on: str = "*", status: int = 0) -> Any:
        problem = self.fleet.problem("baseline", "apply", self.file(text), "--on", on)
        phrase = problem["hint"].split("--confirm ")[1].split(". ")[0]
        return self.run("apply", text, on, "--confirm", phrase, status=status)

    def ask(self, site: str, sql: str) -> list[tuple[Any, ...]]:
        with self.engines[site].connect(self.databases[site]) as connection:
            return list(connection.query(sql))

    def change(self, site: str, *statements: str) -> None:
        with self.engines[site].connect(self.databases[site], read_only=False) as connection:
            for sql in statements:
                connection.execute(sql)

    def state(self, site: str) -> dict[str, list[tuple[Any, ...]]]:
        """Return what a baseline can change, without what goes up with every change."""
        return {name: self.ask(site, sql) for name, sql in LIKE.items()}


@pytest.fixture
def school(
    both: dict[str, PrivateServer], installation: Installation, home: Path, tmp_path: Path
) -> Iterator[School]:
    made = School(Fleet(home), tmp_path)
    for name, (kind, release) in SITES.items():
        server = both[kind]
        made.engines[name] = open_engine(server.address)
        made.databases[name] = register(
            installation, kind, server.url, made.engines[name], name, release=release,
            contents=partial(load_fixture, name=f"moodle-{release}"),
        )  # fmt: skip
    yield made


def test_a_baseline_is_applied_to_both_engines_and_versions_and_taken_back(school: School) -> None:
    before = {site: school.state(site) for site in SITES}
    plan = school.run("plan", BASELINE)
    assert {site: school.state(site) for site in SITES} == before
    cell = ("role", "student: permission mod/forum:replypost")
    for site in SITES:
        assert (plan[site][cell]["old"], plan[site][cell]["new"]) == ("allow", "prevent")
        assert plan[site]["setting", "registerauth"]["note"] == "is unset"
    assert ("role", "student: permission mod/quiz:view") not in plan["p51"]

    assert school.apply(BASELINE) == plan
    assert school.run("drift", BASELINE) == {site: {} for site in SITES}
    for site in SITES:
        assert school.ask(site, "SELECT visible FROM {modules} WHERE name = 'folder'") == [(0,)]
        assert school.ask(site, "SELECT name FROM {role} WHERE shortname = 'tutor'") == [("Tutor",)]

    problem = school.fleet.problem("baseline", "undo", school.file(BASELINE), "--on", "*")
    phrase = problem["hint"].split("--confirm ")[1].split(". ")[0]
    school.run("undo", BASELINE, "*", "--confirm", phrase)
    assert {site: school.state(site) for site in SITES} == before
    again = school.fleet.problem("baseline", "undo", school.file(BASELINE), "--on", "*")
    assert again["code"] == "baseline.applied"


def test_drift_is_told_by_its_own_status_and_what_a_site_does_not_know_only_when_strict(
    school: School,
) -> None:
    text = """
version: 1
name: drift
settings: {forcelogin: 1, mod_none/x: 1}
roles: [{shortname: student, beyond: keep, permissions: {mod/none:view: allow}}]
plugins: {mod_none: enabled, block_none: disabled}
"""
    told = school.run("drift", text, status=8)["p45"]
    assert (told["setting", "forcelogin"]["is"], told["setting", "forcelogin"]["should_be"]) == (
        "0", "1"
    )  # fmt: skip
    school.apply(text)
    told = school.run("drift", text, "p45")["p45"]
    assert {row["note"].split(":")[0] for row in told.values()} == {"skipped"}
    assert len(told) == 3
    school.run("drift", text, "p45", "--strict", status=8)
    school.change("m45", "UPDATE {config} SET value = '0' WHERE name = 'forcelogin'")
    shown = school.fleet.run("baseline", "drift", school.file(text), "--on", "*", status=8)
    assert "1 site(s) have drifted: m45" in shown.stderr
    school.run("apply", text, "m45", "--yes")
    school.run("drift", text)


def test_an_exception_is_otherwise_or_leaves_alone(school: School) -> None:
    from vmoodle.registry import sites

    sites.set_labels(sites.find("p45"), {"tier": "gold"})
    text = (
        BASELINE
        + """
exceptions:
  - label: tier=gold
    settings: {quiz/timelimit: 60}
    roles: [{shortname: student, permissions: {mod/forum:replypost: prohibit}}]
    plugins: {mod_folder: enabled}
  - on: version:5.1*
    leave: {settings: [force*, quiz/*], roles: ["*"], plugins: [filter_*]}
  - label: nobody=has
    settings: {forcelogin: 0}
"""
    )
    plan = school.run("plan", text)
    assert plan["m45"]["setting", "quiz/timelimit"]["new"] == "3600"
    assert plan["p45"]["setting", "quiz/timelimit"]["new"] == "60"
    cell = ("role", "student: permission mod/forum:replypost")
    assert plan["p45"][cell]["new"] == "prohibit"
    assert ("plugin", "mod_folder") not in plan["p45"]
    assert plan["p51"].keys() == {
        ("setting", "registerauth"), ("plugin", "mod_folder"), ("plugin", "editor_tiny")
    }  # fmt: skip


def test_when_a_part_fails_nothing_of_the_site_is_changed(school: School) -> None:
    fails = "raise_it() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'no'; END$$"
    school.change(
        "p45",
        f"CREATE FUNCTION {fails}",
        "CREATE TRIGGER t BEFORE UPDATE ON {config_plugins} EXECUTE FUNCTION raise_it()",
    )
    school.change(
        "m45",
        "CREATE TRIGGER t BEFORE UPDATE ON {config_plugins} FOR EACH ROW"
        " SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no'",
    )
    before = {site: school.state(site) for site in ("m45", "p45")}
    told = school.apply(BASELINE, status=1)
    assert {site for site, rows in told.items() if "error" in rows} == {"m45", "p45"}
    assert {site: school.state(site) for site in ("m45", "p45")} == before
    assert school.run("drift", BASELINE, "p51") == {"p51": {}}


def test_what_somebody_has_changed_since_is_not_taken_back(school: School) -> None:
    school.apply(BASELINE)
    student = "roleid = 5 AND capability = 'mod/forum:replypost' AND contextid = 1"
    school.change("m45", "UPDATE {config} SET value = '7' WHERE name = 'forcelogin'")
    school.change("p45", "UPDATE {modules} SET visible = 1 WHERE name = 'folder'",
                  "UPDATE {config_plugins} SET value = '1' WHERE plugin = 'quiz'"
                  " AND name = 'timelimit'")  # fmt: skip
    school.change("p51", f"UPDATE {{role_capabilities}} SET permission = -1000 WHERE {student}")
    before = {site: school.state(site) for site in SITES}
    told = school.run("undo", BASELINE, "*", "--dry-run", status=1)
    assert {site: rows["error"]["code"] for site, rows in told.items()} == {
        "m45": "setting.changed", "p45": "setting.changed", "p51": "role.changed"
    }  # fmt: skip
    assert {site: school.state(site) for site in SITES} == before


def test_what_cannot_be_made_so_stays_and_is_told(school: School) -> None:
    from vmoodle.registry import forced, sites

    forced.force(forced.Scope(site=sites.find("p45")), "", "forcelogin", 0)
    text = """
version: 1
name: stuck
settings: {forcelogin: 1, forceloginn: 1}
plugins: {repository_flickr: enabled, auth_manual: disabled}
"""
    told = school.run("plan", text, "p45, m45")
    assert told["m45"]["setting", "forcelogin"]["note"] == ""
    notes = {name: row["note"] for (_part, name), row in told["p45"].items()}
    assert "forced" in notes["forcelogin"]
    assert "forcelogin" in notes["forceloginn"]
    assert "Moodle runs code" in notes["repository_flickr"]
    assert "always enabled" in notes["auth_manual"]
    assert all(note.startswith("stays: ") for note in notes.values())
    told = school.run("plan", text, "m45", "--new")
    assert told["m45"]["setting", "forceloginn"]["note"] == "was not set"


def test_a_baseline_is_captured_from_a_site_without_its_secrets(
    school: School, tmp_path: Path
) -> None:
    school.change("m45", "UPDATE {config} SET value = 's3cret' WHERE name = 'smtppass'",
                  "UPDATE {config} SET value = 'yes' WHERE name = 'supportname'")  # fmt: skip
    path = tmp_path / "My School.yml"
    ended = school.fleet.json(
        "baseline", "capture", str(path), "--from", "m45", "--role", "student", "--role", "m*",
        "--setting", "s*", "--setting", "rolesact*", "--setting", "quiz/*",
        "--plugin", "mod_*", "--plugin", "filter_*",
    )  # fmt: skip
    text = path.read_text()
    assert "s3cret" not in text
    assert ended["left"]["smtppass"] == "it is a secret"
    assert "siteadmins" not in text
    assert ended["left"]["rolesactive"] == "it is what the site says about itself"
    assert "name: my-school" in text
    assert school.run("drift", text, "m45") == {"m45": {}}
    told = school.run("drift", text, "p45", status=8)["p45"]
    assert told.keys() == {("setting", "supportname")}
    again = school.fleet.problem(
        "baseline", "capture", str(path), "--from", "m45", "--role", "student"
    )
    assert again["code"] == "baseline.file"
    for words, code in (
        ((), "baseline.capture"),
        (("--role", "nobody"), "role.unknown"),
        (("--setting", "themee"), "setting.unknown"),
        (("--setting", "mod_none/*"), "baseline.nothing"),
        (("--plugin", "mod_none"), "baseline.nothing"),
    ):
        new = str(tmp_path / "new.yml")
        problem = school.fleet.problem("baseline", "capture", new, "--from", "m45", *words)
        assert problem["code"] == code
        assert not Path(new).exists()


def test_a_secret_that_a_baseline_empties_is_not_shown(school: School) -> None:
    school.change("p45", "UPDATE {config} SET value = 's3cret' WHERE name = 'smtppass'")
    text = "version: 1\nname: empty\nsettings: {smtppass: ''}"
    for verb in ("plan", "drift"):
        words = ("baseline", verb, school.file(text), "--on", "p45")
        ended = school.fleet.run(*words, status=None)
        assert "smtppass" in ended.stdout
        assert "s3cret" not in ended.stdout
    school.run("apply", text, "p45", "--yes")
    assert b"s3cret" not in (school.fleet.home / "registry.sqlite3").read_bytes()
    school.run("undo", text, "p45", "--yes")
    rows = school.ask("p45", "SELECT value FROM {config} WHERE name = 'smtppass'")
    assert rows == [("s3cret",)]


def test_a_site_of_which_an_exception_cannot_be_decided_is_left_out(school: School) -> None:
    text = """
version: 1
name: asked
settings: {forcelogin: 1}
exceptions:
  - on: "sql:SELECT COUNT(*) > 0 FROM {only_there}"
    settings: {forcelogin: 0}
"""
    school.change("p45", "CREATE TABLE {only_there} (id INT)")
    told = school.run("plan", text, "p45, p51", status=1)
    assert told["p45"]["setting", "forcelogin"]["new"] == "1"
    assert told["p51"]["error"]["code"] == "baseline.undecided"


def test_a_document_that_is_none_is_refused_before_any_site(school: School) -> None:
    for text, code in (
        ("version: 1\nname: x\nsettings: {a: b: c}", "baseline.yaml"),
        ("version: 3\nname: x", "baseline.version"),
        ("version: 1\nname: x\nsettings: {smtppass: x}", "baseline.secret"),
    ):
        for verb in ("plan", "apply", "drift", "undo"):
            words = ("baseline", verb, school.file(text), "--on", "*")
            assert school.fleet.problem(*words)["code"] == code
    assert school.fleet.json("run", "list") == []
