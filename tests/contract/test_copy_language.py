"""`vmoodle copy language` between sites: packs, Moodle's work tables, and back."""

from __future__ import annotations

from pathlib import Path

from tests.contract.copy_sites import CopySites, sites
from tests.contract.test_sql import both, mixed

from vmoodle.moodle.copies.language_pack import parse_pack

__all__ = ["both", "mixed", "sites"]

GUARD = "<?php\n\ndefined('MOODLE_INTERNAL') || die();\n\n"


def pack(sites: CopySites, shortname: str, name: str, **strings: str) -> Path:
    path = sites.data / shortname / "lang" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"$string['{key}'] = '{text}';\n" for key, text in strings.items()]
    path.write_text(GUARD + "".join(lines))
    return path


def said(sites: CopySites, site: str, name: str) -> dict[str, str] | None:
    path = sites.data / site / "lang" / name
    return parse_pack(path.read_bytes(), name) if path.exists() else None


def test_strings_are_copied_beside_the_targets_own_and_come_back(sites: CopySites) -> None:
    pack(sites, "m1", "en_local/moodle.php", courses="Classes", site="Schüler\\'s \U0001f600")
    pack(sites, "m1", "de_local/quiz.php", quiz="Test")
    own = pack(sites, "p1", "en_local/moodle.php", courses="Own", home="Mine")
    before = own.read_bytes()
    trial = sites.copy("language", "--dry-run", on="p1, m2")
    assert {row["strings"]: row["change"] for row in trial["p1"]["rows"] if row["strings"]} == {
        "en_local/moodle.php": "1 added, 1 changed", "de_local/quiz.php": "1 added",
    }  # fmt: skip
    assert own.read_bytes() == before
    told = sites.copy("language", on="p1, m2")
    assert said(sites, "p1", "en_local/moodle.php") == {
        "courses": "Classes", "site": "Schüler's \U0001f600", "home": "Mine"
    }  # fmt: skip
    assert said(sites, "m2", "de_local/quiz.php") == {"quiz": "Test"}
    assert any("de is not installed" in row["note"] for row in told["m2"]["rows"])
    assert sites.revision("p1", "langrev") > 0
    again = sites.copy("language", on="p1")
    assert again["p1"]["rows"] == []
    sites.undo(told["run"])
    assert own.read_bytes() == before
    assert said(sites, "p1", "de_local/quiz.php") is None
    assert said(sites, "m2", "en_local/moodle.php") is None
    assert not list((sites.data / "p1" / "lang").rglob("*.vmoodle"))


def test_one_language_or_component_is_copied_alone_and_mirrored(sites: CopySites) -> None:
    pack(sites, "m1", "en_local/moodle.php", courses="Classes")
    pack(sites, "m1", "en_local/quiz.php", quiz="Test")
    pack(sites, "m1", "de_local/quiz.php", quiz="Prüfung")
    pack(sites, "p1", "en_local/quiz.php", own="Own")
    pack(sites, "p1", "en_local/forum.php", forum="Board")
    sites.copy("language", "--component", "mod_quiz", "--lang", "en", on="p1")
    assert said(sites, "p1", "en_local/quiz.php") == {"quiz": "Test", "own": "Own"}
    assert said(sites, "p1", "en_local/moodle.php") is None
    assert said(sites, "p1", "de_local/quiz.php") is None
    told = sites.copy("language", "--lang", "en", "--remove", on="p1")
    assert {row["strings"]: row["change"] for row in told["p1"]["rows"]} == {
        "en_local/forum.php": "1 removed", "en_local/moodle.php": "1 added",
        "en_local/quiz.php": "1 removed",
    }  # fmt: skip
    assert said(sites, "p1", "en_local/forum.php") is None
    sites.undo(told["run"])
    assert said(sites, "p1", "en_local/forum.php") == {"forum": "Board"}


def test_a_file_with_code_goes_nowhere(sites: CopySites) -> None:
    path = pack(sites, "m1", "en_local/moodle.php", courses="Classes")
    path.write_text(GUARD + "$string['a'] = system('id');\n")
    words = ("copy", "language", "--from", "m1", "--on", "p1", "--yes")
    assert sites.mixed.fleet.problem(*words)["code"] == "language.code"
    # Nor is a target's file that holds more than strings written over.
    pack(sites, "m1", "en_local/moodle.php", courses="Classes")
    own = pack(sites, "p1", "en_local/moodle.php")
    own.write_text(GUARD + "$string['a'] = 'b' . PHP_EOL;\n")
    before = own.read_bytes()
    assert sites.mixed.fleet.problem(*words)["code"] == "run.trial"
    assert own.read_bytes() == before


def test_no_link_is_followed_on_the_way(sites: CopySites, tmp_path: Path) -> None:
    pack(sites, "m1", "en_local/moodle.php", courses="Classes")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (sites.data / "p1" / "lang").mkdir()
    (sites.data / "p1" / "lang" / "en_local").symlink_to(elsewhere)
    told = sites.mixed.fleet.run(
        "copy", "language", "--from", "m1", "--on", "p1", "--yes", status=None
    )
    assert "language.link" in told.stderr
    assert list(elsewhere.iterdir()) == []


def test_the_tables_of_language_customisation_say_the_same(sites: CopySites) -> None:
    pack(sites, "m1", "en_local/quiz.php", quiz="Test", attempt="Attempt")

    def rows(connection: object) -> None:
        execute = connection.execute  # type: ignore[attr-defined]
        execute("INSERT INTO {tool_customlang_components} (id, name) VALUES (7, 'mod_quiz')")
        for key, local, modified in (
            ("quiz", None, 0), ("attempt", None, 0), ("grade", "Mark", 1), ("review", None, 0)
        ):  # fmt: skip
            execute(
                "INSERT INTO {tool_customlang} (lang, componentid, stringid, master, local,"
                " modified) VALUES ('en', 7, %s, %s, %s, %s)",
                (key, key.title(), local, modified),
            )

    for name in ("p1", "m2"):
        sites.change(name, rows)
    sql = "SELECT stringid, local FROM {tool_customlang} ORDER BY id"
    told = sites.copy("language", on="p1, m2")
    for name in ("p1", "m2"):
        assert sites.ask(name, sql) == [
            ("quiz", "Test"), ("attempt", None), ("grade", "Mark"), ("review", None)
        ]  # fmt: skip
        assert any("not yet saved" in row["note"] for row in told[name]["rows"])
    sites.undo(told["run"])
    assert sites.ask("p1", sql)[0] == ("quiz", None)


def test_what_somebody_changed_since_stays(sites: CopySites) -> None:
    pack(sites, "m1", "en_local/quiz.php", quiz="Test")
    pack(sites, "m1", "en_local/forum.php", forum="Board")
    told = sites.copy("language", on="p1, m2")
    pack(sites, "p1", "en_local/quiz.php", quiz="Newer")
    back = sites.undo(told["run"], status=1)
    assert back["p1"]["error"]["code"] == "language.changed"
    assert said(sites, "p1", "en_local/forum.php") == {"forum": "Board"}
    assert said(sites, "m2", "en_local/forum.php") is None


def test_bad_names_and_a_source_without_strings_are_refused(sites: CopySites) -> None:
    def code(*words: str) -> str:
        words = ("copy", "language", "--from", "m1", "--on", "p1", "--yes", *words)
        return str(sites.mixed.fleet.problem(*words)["code"])

    assert code() == "language.none"
    assert code("--lang", "../en") == "language.name"
    assert code("--component", "../quiz") == "language.component"
