"""`vmoodle role` on Moodle's databases of both engines in one fleet: compared, synced, undone."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.contract.test_sql import both
from tests.fixtures import load_fixture
from tests.fleet import Fleet
from tests.servers import PrivateServer

from vmoodle.engines.protocol import Engine, SiteConnection, SiteDatabase, open_engine
from vmoodle.installation import Installation
from vmoodle.moodle.roles.definitions import SiteRoles, read_roles

__all__ = ["both"]

DELETE, VIEW = "moodle/course:delete", "mod/quiz:view"
KINDS = {"m": "mariadb", "p": "postgresql"}
# Two sites of one Moodle, a newer one, and one with a prefix of its own.
FIXTURES = {"m1": "moodle-4.5.5", "p1": "moodle-4.5.5-content", "p2": "moodle-5.1.0",
            "m2": "moodle-4.5.5"}  # fmt: skip
PREFIXES = {"m2": "x_"}
NAMES = sorted(FIXTURES)
TABLES = (
    "role", "role_capabilities", "capabilities", "role_context_levels", "role_allow_assign",
    "role_allow_override", "role_allow_switch", "role_allow_view", "role_assignments",
)  # fmt: skip


class Site:
    """One database, and its roles as they were first."""

    def __init__(self, engine: Engine, database: SiteDatabase) -> None:
        self.engine, self.database = engine, database
        with self.inside() as connection:
            self._rows = {table: connection.query(f"SELECT * FROM {{{table}}}") for table in TABLES}

    @contextlib.contextmanager
    def inside(self) -> Iterator[SiteConnection]:
        with self.engine.connect(self.database, read_only=False) as connection:
            yield connection

    def execute(self, sql: str, *values: object) -> None:
        with self.inside() as connection:
            connection.execute(sql, values)

    def roles(self) -> SiteRoles:
        with self.inside() as connection:
            return read_roles(connection)

    def permission(self, role: str, capability: str) -> int | None:
        return self.roles().role(role).permissions.get(capability)

    def overrides(self) -> list[tuple[Any, ...]]:
        with self.inside() as connection:
            return list(connection.query("SELECT * FROM {role_capabilities} WHERE contextid <> 1"))

    def put_back(self) -> None:
        with self.inside() as connection:
            for table, rows in self._rows.items():
                if sorted(rows, key=str) == sorted(
                    connection.query(f"SELECT * FROM {{{table}}}"), key=str
                ):
                    continue
                connection.execute(f"DELETE FROM {{{table}}}")
                one = f"({', '.join('%s' for _ in rows.columns)})"
                for at in range(0, len(rows), 500):
                    group = rows[at : at + 500]
                    connection.execute(
                        f"INSERT INTO {{{table}}} ({', '.join(rows.columns)})"
                        f" VALUES {', '.join(one for _ in group)}",
                        [value for row in group for value in row],
                    )


@pytest.fixture(scope="module")
def databases(both: dict[str, PrivateServer]) -> dict[str, Site]:
    made = {}
    for name in sorted(FIXTURES, key=lambda name: name in PREFIXES):
        engine = open_engine(both[KINDS[name[0]]].address)
        database = SiteDatabase(
            f"vm_role_{name}", f"vm_role_{name}", engine_password(), PREFIXES.get(name, "mdl_")
        )
        engine.create_account(database)
        if name in PREFIXES:
            engine.clone_database(made["m1"].database, database)
        else:
            engine.create_database(database)
            load_fixture(engine, database, FIXTURES[name])
        made[name] = Site(engine, database)
    return made


def engine_password() -> Any:
    from vmoodle.secret import generate_password

    return generate_password()


@pytest.fixture
def sites(
    databases: dict[str, Site], both: dict[str, PrivateServer], installation: Installation,
    tmp_path: Path,
) -> dict[str, Site]:  # fmt: skip
    from vmoodle.registry.models import Codebase, DatabaseServer
    from vmoodle.registry.models import Site as Row
    from vmoodle.secret import Secret

    codebase = Codebase.objects.create(
        name="main", path="/nowhere", layout="classic", version="2024100705",
        release="4.5.5", branch="405",
    )  # fmt: skip
    for kind in KINDS.values():
        DatabaseServer.objects.create(
            name=kind, engine=both[kind].address.engine, address=both[kind].address.display(),
            flavour=kind, version="1", url_encrypted=installation.encrypt(Secret(both[kind].url)),
        )  # fmt: skip
    for name, site in databases.items():
        site.put_back()
        dataroot = tmp_path / name
        dataroot.mkdir()
        Row.objects.create(
            shortname=name, name=name, wwwroot=f"http://{name}.test", address_key=f"{name}.test",
            codebase=codebase, server=DatabaseServer.objects.get(name=KINDS[name[0]]),
            database=site.database.name, account=site.database.account,
            password_encrypted=installation.encrypt(site.database.password),
            table_prefix=site.database.prefix, dataroot=str(dataroot), session_key=name,
            state="enabled", admin_user="admin", admin_email="a@example.test",
        )  # fmt: skip
    return databases


@pytest.fixture
def fleet(sites: dict[str, Site], home: Path) -> Fleet:
    return Fleet(home)


def change(fleet: Fleet, *words: str, status: int = 0) -> dict[str, Any]:
    """Order a change on all sites that it means; return its document, results by site."""
    ended = fleet.run("role", *words, "--json", "--yes", status=None)
    if "run.unconfirmed" in ended.stderr:
        phrase = ended.stderr.split("--confirm ")[1].split(".")[0]
        ended = fleet.run("role", *words, "--json", "--confirm", phrase, status=None)
    assert ended.returncode == status, ended.stderr
    document: dict[str, Any] = json.loads(ended.stdout)
    document["results"] = {row["site"]: row for row in document["results"]}
    return document


def undo(fleet: Fleet, document: dict[str, Any]) -> None:
    names = [n for n, row in document["results"].items() if row.get("rows")]
    ended = fleet.run("run", "undo", document["run"], "--json", "--yes", status=None)
    if "run.unconfirmed" in ended.stderr:
        phrase = ended.stderr.split("--confirm ")[1].split(".")[0]
        fleet.run("run", "undo", document["run"], "--confirm", phrase)
    assert names


def cells(document: dict[str, Any], site: str) -> set[tuple[str, str, str, str]]:
    return {
        (row["role"], row["key"], row["old"], row["new"] or row["note"])
        for row in document["results"][site]["rows"]
    }


def test_the_roles_of_sites_are_listed_merged_and_as_a_matrix(fleet: Fleet) -> None:
    document = fleet.json("role", "list", "--on", "*")
    rows = {row["site"]: {r["role"]: r for r in row["rows"]} for row in document["results"]}
    assert list(rows) == NAMES
    assert rows["m2"]["manager"]["archetype"] == "manager"
    assert rows["p1"]["student"]["assignments"] > 0
    shown = fleet.run("role", "list", "--matrix", "--on", "*").stdout
    (mentor,) = [line for line in shown.splitlines() if line.startswith("mentora ")]
    assert mentor.split() == ["mentora", "(not", "there)", "p1:", "teacher"]
    assert any(line.split() == ["student", "student"] for line in shown.splitlines())


def test_a_comparison_tells_every_way_to_differ_with_what_most_have(
    fleet: Fleet, sites: dict[str, Site]
) -> None:
    sites["m2"].execute(
        "UPDATE {role_capabilities} SET permission = -1000 WHERE capability = %s",
        "mod/quiz:attempt",
    )
    sites["m2"].execute(
        "DELETE FROM {role_capabilities} WHERE capability = %s", "mod/forum:replypost"
    )
    sites["m2"].execute("DELETE FROM {capabilities} WHERE name = %s", "mod/url:view")
    sites["m2"].execute("UPDATE {role} SET name = 'Lernende' WHERE shortname = 'student'")
    words = ("role", "compare", "student", "--on", "m1, m2, p1")
    document = fleet.json(*words)
    told = {row["name"]: row["differing"] for row in document["comparison"]}
    states = {name: {s: one["state"] for s, one in found.items()} for name, found in told.items()}
    assert states["mod/quiz:attempt"] == {"m2": "permission differs"}
    assert states["mod/forum:replypost"] == {"m2": "not set"}
    assert states["mod/url:view"] == {"m2": "unknown capability"}
    assert states["name"] == {"m2": "differs"}
    assert told["mod/quiz:attempt"]["m2"]["value"] == "prohibit (module)"
    matrix = {row["site"]: row["matrix"] for row in document["results"]}
    assert matrix["m1"]["mod/quiz:attempt"] == "allow (module)"
    assert "mod/url:view" not in matrix["m2"]
    shown = {line.split("  ")[0]: line for line in fleet.run(*words).stdout.splitlines()}
    assert "m2: (unknown capability)" in shown["mod/url:view"]
    assert "mod/quiz:reviewmyattempts" not in shown
    assert "mod/quiz:reviewmyattempts" in fleet.run(*words, "--all").stdout
    quiz = fleet.run(*words, "--component", "mod_quiz").stdout
    assert ("mod/quiz:attempt" in quiz, "mod/forum:replypost" in quiz, "name" in quiz) == (
        True, False, False,
    )  # fmt: skip
    mine = fleet.json(*words, "--against", "m2")
    told = {row["name"]: row for row in mine["comparison"]}
    assert told["mod/forum:replypost"]["against"] == "m2"
    assert told["mod/forum:replypost"]["differing"].keys() == {"m1", "p1"}
    assert "m2 SAYS" in fleet.run(*words, "--against", "m2").stdout


def test_a_context_level_and_a_missing_role_stand_out(fleet: Fleet, sites: dict[str, Site]) -> None:
    sites["m1"].execute("UPDATE {capabilities} SET contextlevel = 50 WHERE name = %s", VIEW)
    told = fleet.json("role", "compare", "student", "--on", "m1, m2, p1")["comparison"]
    (row,) = [row for row in told if row["name"] == VIEW]
    assert row["differing"]["m1"] == {"value": "allow (course)", "state": "context level differs"}
    shown = fleet.run("role", "compare", "mentora", "--on", "*").stdout.splitlines()
    assert len(shown) == 2
    assert "p1: there" in shown[1]
    assert fleet.problem("role", "compare", "nobody", "--on", "*")["code"] == "role.unknown"
    words = ("role", "compare", "student", "--on", "*", "--component", "mod_none")
    assert fleet.problem(*words)["code"] == "role.component"


def test_a_sync_from_a_site_of_another_version_leaves_what_that_does_not_know(
    fleet: Fleet, sites: dict[str, Site]
) -> None:
    before = {name: site.roles() for name, site in sites.items()}
    overrides = sites["p1"].overrides()
    assert overrides
    words = ("sync", "editingteacher", "manager", "--from", "m1", "--on", "*")
    trial = change(fleet, *words, "--dry-run")
    assert {name: site.roles() for name, site in sites.items()} == before
    done = change(fleet, *words)
    assert done["results"].keys() == {"m2", "p1", "p2"}
    for name in done["results"]:
        assert cells(trial, name) == cells(done, name)
    assert ("editingteacher", DELETE, "allow", "not set") in cells(done, "p1")
    assert done["results"]["m2"]["rows"] == []
    assert sites["p1"].overrides() == overrides
    known = set(before["m1"].capabilities)
    for role in ("editingteacher", "manager"):
        new = sites["p2"].roles().role(role).permissions
        old = before["p2"].role(role).permissions
        assert {n: v for n, v in new.items() if n not in known} == {
            n: v for n, v in old.items() if n not in known
        }
    skipped = [r for r in done["results"]["p2"]["rows"] if r["note"].startswith("skipped")]
    assert skipped
    assert all("does not know" in row["note"] for row in skipped)
    undo(fleet, done)
    assert {name: site.roles() for name, site in sites.items()} == before
    shown = fleet.run("role", *words, "--dry-run").stdout
    assert "1 site(s) with nothing to change: m2" in shown


def test_a_missing_role_is_made_with_those_who_may_assign_it_and_taken_back(
    fleet: Fleet, sites: dict[str, Site]
) -> None:
    before = {name: site.roles() for name, site in sites.items()}
    words = ("sync", "mentora", "--from", "p1", "--on", "m*")
    done = change(fleet, *words)
    made = sites["m2"].roles()
    assert made.role("mentora").permissions
    for allow, others in before["p1"].role("manager").allows.items():
        assert ("mentora" in others) == ("mentora" in made.role("manager").allows[allow])
    assert change(fleet, *words)["results"]["m1"]["rows"] == []
    undo(fleet, done)
    assert {name: site.roles() for name, site in sites.items()} == before
    none = change(fleet, *words, "--no-create")
    assert cells(none, "m1") == {("mentora", "", "", "skipped: the site has no such role")}


def test_a_file_holds_roles_and_says_what_they_are_elsewhere(
    fleet: Fleet, sites: dict[str, Site], tmp_path: Path
) -> None:
    file = tmp_path / "roles.yaml"
    fleet.run("role", "export", "mentora", "student", str(file), "--of", "p1")
    assert "shortname: mentora" in file.read_text()
    assert fleet.problem("role", "export", "*", str(file), "--of", "p1")["code"] == "role.file"
    shown = fleet.json("role", "show", "mentora", "--of", "p1")
    change(fleet, "sync", "--file", str(file), "--on", "m1")
    assert fleet.json("role", "show", "mentora", "--of", "m1") == shown
    file.write_text("{shortname: student, permissions: {mod/quiz:view: prevent}}")
    change(fleet, "sync", "--file", str(file), "--on", "m2", "--keep")
    assert sites["m2"].permission("student", VIEW) == -1
    assert sites["m2"].permission("student", "mod/quiz:attempt") == 1


def test_one_capability_is_set_and_removed_and_one_component_put_right(
    fleet: Fleet, sites: dict[str, Site]
) -> None:
    before = {name: site.roles() for name, site in sites.items()}
    words = ("capability", "student", DELETE, "--on", "*")
    done = change(fleet, *words, "--allow")
    assert {site.permission("student", DELETE) for site in sites.values()} == {1}
    taken = change(fleet, *words, "--from", "p2")
    assert taken["results"].keys() == {"m1", "m2", "p1"}
    assert all(result["rows"] == [] for result in taken["results"].values())
    change(fleet, *words, "--inherit")
    assert {site.permission("student", DELETE) for site in sites.values()} == {None}
    ended = fleet.run("run", "undo", done["run"], "--yes", status=None)
    assert ended.returncode != 0
    assert {name: site.roles() for name, site in sites.items()} == before
    sites["p1"].execute("DELETE FROM {role_capabilities} WHERE capability LIKE 'mod/quiz:%'")
    fixed = change(fleet, "resync", "--from", "m1", "--component", "mod_quiz", "--on", "p1, m2")
    assert len(fixed["results"]["p1"]["rows"]) > 10
    for role in before["m1"].shortnames:
        old, new = before["p1"].role(role), sites["p1"].roles().role(role)
        assert old.permissions == new.permissions


def test_a_capability_or_role_that_a_site_does_not_know_is_skipped_and_told(
    fleet: Fleet, sites: dict[str, Site]
) -> None:
    sites["m1"].execute("DELETE FROM {capabilities} WHERE name = %s", VIEW)
    done = change(fleet, "capability", "student", "mentora", VIEW, "--prohibit", "--on", "m1, p1")
    told = {(role, key): note for role, key, _old, note in cells(done, "m1")}
    assert told["student", VIEW].startswith("skipped: the site does not know the capability")
    assert told["mentora", ""] == "skipped: the site has no such role"
    assert {new for *_rest, new in cells(done, "p1")} == {"prohibit"}


def test_who_may_assign_whom_is_compared_and_synced(fleet: Fleet, sites: dict[str, Site]) -> None:
    before = sites["m2"].roles()
    sites["m2"].execute("DELETE FROM {role_allow_assign}")
    words = ("role", "compare-allows", "--on", "m1, m2, p1", "--table", "assign")
    names = {row["name"] for row in fleet.json(*words)["comparison"]}
    assert "manager may assign student" in names
    assert not any("mentora" in name for name in names)
    done = change(fleet, "sync-allows", "--from", "m1", "--table", "assign", "--on", "m2")
    assert sites["m2"].roles() == before
    undo(fleet, done)
    assert not sites["m2"].roles().role("manager").allows["assign"]  # type: ignore[index]


def test_bad_input_is_refused_before_any_site_is_asked(
    fleet: Fleet, sites: dict[str, Site], tmp_path: Path
) -> None:
    odd = tmp_path / "odd.yaml"
    odd.write_text("shortname: [")
    for words, code in (
        (("sync", "student"), "role.source"),
        (("sync", "--from", "m1"), "role.which"),
        (("sync", "nobody", "--from", "m1"), "role.unknown"),
        (("sync", "student", "--from", "none"), "site.unknown"),
        (("sync", "--file", str(odd)), "role.definition"),
        (("sync", "--file", str(tmp_path / "none")), "command.file"),
        (("sync", "student", "--from", "m1", "--part", "love"), "command.parameter"),
        (("capability", "student", "mod/quiz", "--allow"), "role.capability.name"),
        (("capability", "student", VIEW), "role.source"),
        (("capability", "student", "mod/quiz:vieww", "--from", "m1"), "role.capability"),
        (("capability", "student", VIEW, "--allow", "--inherit"), "command.exclusive"),
        (("resync", "--from", "m1", "--component", "mod_none"), "role.component"),
        (("resync", "--from", "m1"), "role.source"),
    ):
        assert fleet.problem("role", *words, "--on", "*")["code"] == code, words
    assert fleet.problem("role", "sync", "student", "--from", "m1", "--on", "m1")["code"] == (
        "target.source"
    )
    assert fleet.problem("role", "show", "nobody", "--of", "m1")["code"] == "role.unknown"


def test_a_site_that_is_down_holds_no_other_and_a_suspended_one_is_changed_too(
    fleet: Fleet, sites: dict[str, Site], installation: Installation
) -> None:
    from vmoodle.registry.models import Site as Row

    Row.objects.filter(shortname="m2").update(state="suspended")
    Row.objects.filter(shortname="m1").update(database="vm_gone")
    document = fleet.json("role", "compare", "student", "--on", "*", status=1)
    status = {row["site"]: row["status"] for row in document["results"]}
    assert status == {"m1": "failed", "m2": "ok", "p1": "ok", "p2": "ok"}
    problem = fleet.problem("role", "sync", "student", "--from", "m1", "--on", "p1")
    assert problem["code"].startswith("engine.")
    done = change(fleet, "capability", "student", DELETE, "--allow", "--on", "m1, m2", status=1)
    assert done["results"]["m2"]["status"] == "ok"
    assert sites["m2"].permission("student", DELETE) == 1


def test_a_second_capability_is_not_taken_for_a_role(fleet: Fleet, sites: dict[str, Site]) -> None:
    before = sites["m1"].roles()
    words = ("role", "capability", "teacher", "moodle/course:update", DELETE, "--allow")
    assert fleet.run(*words, "--on", "m1", "--yes", status=2).stdout == ""
    problem = fleet.problem(*words, "--on", "m1", "--yes")
    assert problem["code"] == "role.name"
    assert "moodle/course:update" in problem["detail"]
    assert sites["m1"].roles() == before


def test_what_no_site_knows_ends_the_call_before_anything_is_changed(
    fleet: Fleet, sites: dict[str, Site]
) -> None:
    sites["m2"].execute("DELETE FROM {capabilities} WHERE name = %s", DELETE)
    for words, code, near in (
        (("capability", "studentt", DELETE, "--allow"), "role.unknown", "student"),
        (("capability", "student", "studnet", DELETE, "--allow"), "role.unknown", "student"),
        (("capability", "student", f"{DELETE}e", "--allow"), "role.capability", DELETE),
        (("capability", "*", f"{DELETE}e", "--allow"), "role.capability", DELETE),
    ):
        for more in ("--yes", "--dry-run"):
            problem = fleet.problem("role", *words, "--on", "m1, p1", more)
            assert problem["code"] == code
            assert near in problem["hint"]
    done = change(fleet, "capability", "student", "mentora", DELETE, "--allow", "--on", "m2, p1")
    assert sites["p1"].permission("mentora", DELETE) == 1
    assert {row["note"][:7] for row in done["results"]["m2"]["rows"]} == {"skipped"}
