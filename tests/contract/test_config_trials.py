"""What the trial of a change of settings shows: slips, what is left out, nothing to be done."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.contract.test_config import put, value
from tests.contract.test_sql import Mixed, both, mixed

__all__ = ["both", "mixed"]


@pytest.mark.parametrize("trial", ["--dry-run", "--yes"])
def test_a_setting_that_no_site_has_is_a_slip(mixed: Mixed, trial: str) -> None:
    for words, near in (
        (("unset", "themee"), "theme"),
        (("unset", "theme", "mod_quizz/timelimit"), "mod_quiz"),
        (("set", "themee=x"), "theme"),
        (("set", "mod_quizz/timelimit=1"), "mod_quiz"),
    ):
        problem = mixed.fleet.problem("config", *words, "--on", "m1, p1", trial)
        assert problem["code"] == "setting.unknown"
        assert problem["detail"].startswith("None of the sites has a setting")
        assert near in problem["hint"]
    assert value(mixed, "m1", "theme") == "boost"


def test_a_setting_of_an_activity_is_meant_without_mod(mixed: Mixed) -> None:
    for site in ("m1", "p1"):
        put(mixed, site, "attempts", "3", "quiz")
    for words in (("unset", "mod_quiz/attempts"), ("set", "mod_quiz/attempts=1")):
        problem = mixed.fleet.problem("config", *words, "--on", "m1, p1", "--dry-run")
        assert problem["code"] == "setting.unknown"
        assert problem["hint"].startswith("Did you mean quiz/attempts?")


def test_a_copy_tells_once_what_it_leaves_out_and_all_that_is_not_there(mixed: Mixed) -> None:
    for name, text in (("smtppass", "s3cret"), ("smtphosts", "mail"), ("noreplyaddress", "a@b.c")):
        put(mixed, "m1", name, text)
    words = ("config", "copy", "smtp*", "noreply*", "--from", "m1", "--on", "m2, p1", "--yes")
    ended = mixed.fleet.run(*words)
    assert ended.stderr.count("left out, it is a secret: smtppass") == 1
    assert ended.stderr.count("left out, it marks one site: noreplyaddress") == 1
    assert "left" not in ended.stdout
    assert [value(mixed, site, "smtphosts") for site in ("m2", "p1")] == ["mail", "mail"]
    nothing = ("config", "copy", "nosuch*", "smtp*", "zz*", "--from", "m1", "--on", "p1", "--yes")
    problem = mixed.fleet.problem(*nothing)
    assert problem["code"] == "setting.unknown"
    assert "nosuch*, zz*" in problem["detail"]


def test_where_nothing_is_to_be_changed_nothing_is_run(mixed: Mixed, tmp_path: Path) -> None:
    document = tmp_path / "school.yml"
    document.write_text("version: 1\nname: school\nsettings:\n  theme: boost\n")
    for words in (
        ("config", "set", "theme=boost"),
        ("config", "copy", "mod_quiz", "--from", "p2"),
        ("baseline", "apply", str(document)),
    ):
        told = mixed.fleet.json(*words, "--on", "m1, p1", "--yes")
        assert (told["dry_run"], told["summary"]["ok"]) == (True, 2)
        ended = mixed.fleet.run(*words, "--on", "m1, p1", "--yes")
        assert "nothing to change; no site was touched" in ended.stderr
    assert all(run["dry_run"] for run in mixed.fleet.json("run", "list"))
    drift = mixed.fleet.run("baseline", "drift", str(document), "--on", "m1, p1")
    assert "2 site(s) with no differences: m1, p1" in drift.stdout
    # One that is otherwise is enough for a run on all that are meant.
    put(mixed, "m1", "theme", "classic")
    assert not mixed.fleet.json("config", "set", "theme=boost", "--on", "m1, p1", "--yes")[
        "dry_run"
    ]


def test_a_site_that_fails_where_nothing_else_is_to_be_changed_is_told(mixed: Mixed) -> None:
    from vmoodle.registry import forced, sites

    forced.force(forced.Scope(site=sites.find("p1")), "", "theme", "classic")
    ended = mixed.fleet.run("config", "set", "theme=boost", "--on", "m1, p1", "--yes", status=1)
    assert "p1: failed. theme is forced" in ended.stderr
    assert "nothing to change" in ended.stderr
