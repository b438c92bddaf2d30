"""`vmoodle config` on both engines: values, forced ones, secrets, differences, changes and undo."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.contract.test_sql import NAMES, Mixed, both, mixed

from vmoodle.moodle.config.names import OF_CONFIG_PHP

__all__ = ["both", "mixed"]


def put(mixed: Mixed, site: str, name: str, value: str, plugin: str = "") -> None:
    """Set a setting of a site; the one there is replaced."""
    with mixed.engines[site].connect(mixed.databases[site], read_only=False) as connection:
        if plugin:
            connection.execute(
                "DELETE FROM {config_plugins} WHERE plugin = %s AND name = %s", (plugin, name)
            )
            connection.execute(
                "INSERT INTO {config_plugins} (plugin, name, value) VALUES (%s, %s, %s)",
                (plugin, name, value),
            )
            return
        connection.execute("DELETE FROM {config} WHERE name = %s", (name,))
        connection.execute("INSERT INTO {config} (name, value) VALUES (%s, %s)", (name, value))


def get(mixed: Mixed, *words: str) -> dict[str, dict[str, dict[str, object]]]:
    document = mixed.fleet.json("config", "get", *words)
    return {
        row["site"]: {one["setting"]: one for one in row["rows"]} for row in document["results"]
    }


def test_settings_of_moodle_and_of_plugins_are_told(mixed: Mixed) -> None:
    put(mixed, "p2", "only", "here")
    told = get(mixed, "theme", "mod_quiz/timelimit", "only", "--on", "*")
    assert list(told) == NAMES
    for site, rows in told.items():
        assert (rows["theme"]["value"], rows["theme"]["forced"]) == ("boost", False)
        assert rows["mod_quiz/timelimit"]["value"] == "60"
        assert rows["only"]["value"] == ("here" if site == "p2" else None)
    put(mixed, "p1", "time_limit", "1", "mod_quiz")
    assert get(mixed, "mod_quiz/time?limit", "--on", "p1")["p1"].keys() == {"mod_quiz/time_limit"}
    assert get(mixed, "*", "*/*", "--on", "m1")["m1"].keys() - OF_CONFIG_PHP == {
        "lang", "theme", "mod_quiz/timelimit"
    }  # fmt: skip


def test_what_config_php_sets_is_forced_and_no_password_is_shown(mixed: Mixed) -> None:
    from vmoodle.registry import sites

    put(mixed, "p2", "wwwroot", "http://stale.test")
    told = get(mixed, *OF_CONFIG_PHP, "--on", "*")
    for name, rows in told.items():
        assert all(row["forced"] and row["value"] for row in rows.values())
        assert rows["wwwroot"]["value"] == sites.find(name).wwwroot
        assert rows["dataroot"]["value"] == sites.find(name).dataroot
        assert rows["dbname"]["value"] == mixed.databases[name].name
        assert rows["prefix"]["value"] == ("mdl_" if name.endswith("1") else "x_")
        assert str(rows["dbpass"]["value"]).startswith("***")
        assert mixed.databases[name].password.reveal() not in str(rows)
    assert told["p2"]["wwwroot"]["stored"] == "http://stale.test"
    assert told["p2"]["dbtype"]["value"] == "pgsql"


def test_a_forced_setting_is_shown_as_such(mixed: Mixed) -> None:
    from vmoodle.registry import forced, sites

    forced.force(forced.Scope(site=sites.find("p1")), "", "theme", "classic")
    forced.force(forced.Scope(), "mod_quiz", "timelimit", 90)
    forced.force(forced.Scope(), "", "debugdisplay", False)
    told = get(mixed, "theme", "mod_quiz/timelimit", "debugdisplay", "--on", "p1, m1")
    assert told["p1"]["theme"] == {
        "setting": "theme", "value": "classic", "forced": True, "stored": "boost"
    }  # fmt: skip
    assert told["m1"]["theme"]["forced"] is False
    assert told["m1"]["mod_quiz/timelimit"]["value"] == "90"
    assert told["m1"]["debugdisplay"]["value"] == ""
    shown = mixed.fleet.run("config", "compare", "*", "--on", "*").stdout
    assert "p1: classic (forced)" in shown


def test_a_comparison_tells_what_most_have_and_who_differs(mixed: Mixed) -> None:
    put(mixed, "m2", "lang", "de")
    put(mixed, "p2", "extra", "1")
    put(mixed, "p2", "siteidentifier", "own")
    ended = mixed.fleet.run("config", "compare", "*", "*/*", "--on", "*")
    lines = {line.split()[0]: line for line in ended.stdout.splitlines()}
    assert lines.keys() == {"NAME", "extra", "lang"}
    assert "m2: de" in lines["lang"]
    assert lines["extra"].split(maxsplit=1)[1] == "(not there)  p2: 1"
    assert "2 more are the same" in ended.stderr
    document = mixed.fleet.json("config", "compare", "lang", "--on", "*")
    assert {row["site"]: row["matrix"] for row in document["results"]}["m2"] == {"lang": "de"}


def test_what_each_site_has_of_its_own_is_no_difference(mixed: Mixed) -> None:
    from vmoodle.registry.models import Site

    for site in Site.objects.all():
        name, host = site.shortname, site.wwwroot.partition("://")[2].partition("/")[0]
        put(mixed, name, "calendar_exportsalt", f"salt of {name}")
        put(mixed, name, "allcomponenthash", f"hash of {name}")
        put(mixed, name, "geoip2file", f"{site.dataroot}/geoip/x.mmdb")
        put(mixed, name, "noreplyaddress", f"noreply@{host}" if name != "p2" else "no@else.test")
        put(mixed, name, "mailhost", next(iter(Site.objects.all())).wwwroot)
        put(mixed, name, "version", f"1{name}", "mod_quiz")
    words = ("config", "compare", "*", "*/*", "--on", "*")
    lines = {line.split()[0]: line for line in mixed.fleet.run(*words).stdout.splitlines()}
    assert lines.keys() == {"NAME", "noreplyaddress"}
    assert "noreply@{host}" in lines["noreplyaddress"]
    assert "p2: no@else.test" in lines["noreplyaddress"]
    everything = mixed.fleet.run(*words, "--all").stdout
    for name in ("calendar_exportsalt", "allcomponenthash", "geoip2file", "mod_quiz/version"):
        assert name in everything
    assert "mod_quiz/version" in mixed.fleet.run(*words[:2], "*/version", "--on", "*").stdout


def test_a_secret_is_never_shown_only_whether_it_differs(mixed: Mixed) -> None:
    for site in ("m1", "m2"):
        put(mixed, site, "smtppass", "s3cret-of-mail")
    put(mixed, "p1", "smtppass", "another-s3cret")
    ended = mixed.fleet.run("config", "get", "smtppass", "--on", "m*, p1", "--json")
    assert "s3cret" not in ended.stdout
    told = get(mixed, "smtppass", "--on", "m*, p1")
    values = [told[site]["smtppass"]["value"] for site in ("m1", "m2", "p1")]
    assert values[0] == values[1] != values[2]
    assert "s3cret" not in mixed.fleet.run("config", "compare", "smtp*", "--on", "*").stdout


def test_two_runs_tell_on_which_sites_a_secret_was_changed(mixed: Mixed) -> None:
    for site in NAMES:
        put(mixed, site, "smtppass", "first-s3cret")
    before = mixed.fleet.json("config", "get", "smtppass", "--on", "*")["run"]
    put(mixed, "p2", "smtppass", "second-s3cret")
    after = mixed.fleet.json("config", "get", "smtppass", "--on", "*")["run"]
    ended = mixed.fleet.run("run", "diff", before, after, "--json")
    assert [row["site"] for row in json.loads(ended.stdout)["differences"]] == ["p2"]
    assert "s3cret" not in ended.stdout


def test_a_setting_that_no_site_has_is_a_slip_and_what_is_near_is_said(mixed: Mixed) -> None:
    put(mixed, "m1", "siteidentifier", "own")
    for word, hint in (
        ("themee", "Did you mean theme?"),
        ("mod_quizz/timelimit", "Did you mean mod_quiz?"),
        ("mod_quizz/*", "Did you mean mod_quiz?"),
        ("themee*", "`vmoodle config get '*'` shows what sites have."),
        ("*/timelimitt", "A plugin's setting is named component/name."),
    ):
        for verb in ("get", "compare"):
            ended = mixed.fleet.run("config", verb, "lang", word, "--on", "*", status=3)
            assert ended.stdout == ""
            assert "None of the sites has" in ended.stderr
            assert f"hint: {hint}" in ended.stderr
    # It is left out of comparisons, and there.
    assert "No differences" in mixed.fleet.run("config", "compare", "siteid*", "--on", "*").stdout
    problem = mixed.fleet.problem("config", "get", "themee", "--on", "p1")
    assert problem["code"] == "setting.unknown"


def test_a_task_that_no_site_has_is_a_slip_and_what_is_near_is_said(mixed: Mixed) -> None:
    with mixed.engines["p1"].connect(mixed.databases["p1"], read_only=False) as connection:
        connection.execute(
            "CREATE TABLE {task_scheduled} AS"
            " SELECT '\\core\\task\\session_cleanup_task' AS classname, '*' AS minute, '*' AS hour,"
            " '*' AS day, '*' AS month, '*' AS dayofweek, 0 AS lastruntime, 0 AS nextruntime,"
            " 0 AS faildelay, 0 AS disabled, 0 AS timestarted"
        )
    words = ("task", "list", "--on", "p1", "--task")
    for word in (r"\core\task\session_cleanup", "session_cleanup_tsk", "*sesion_cleanup_task*"):
        problem = mixed.fleet.problem(*words, word)
        assert problem["code"] == "task.unknown"
        assert problem["detail"] == f"None of the sites has a scheduled task {word}."
        assert problem["hint"] == r"Did you mean \core\task\session_cleanup_task?"
    assert "session_cleanup" in mixed.fleet.run(*words, "*session*").stdout
    assert mixed.fleet.problem(*words, "*session*", "--task", "nosuch")["code"] == "task.unknown"


def test_runs_of_no_command_and_of_no_site_are_not_looked_for(mixed: Mixed) -> None:
    problem = mixed.fleet.problem("run", "list", "--command", "sql.wirte")
    assert (problem["code"], problem["hint"]) == (
        "command.unknown",
        "Did you mean sql.write or sql.read?",
    )
    assert mixed.fleet.problem("run", "list", "--site", "nosuch")["code"] == "site.unknown"
    assert mixed.fleet.json("run", "list", "--command", "sql.write", "--site", "p1") == []


def test_what_names_no_setting_is_refused(mixed: Mixed) -> None:
    for word in ("a b", "'; DROP TABLE x", "/x", ""):
        assert mixed.fleet.problem("config", "get", word, "--on", "*")["code"] in {
            "setting.name",
            "setting.none",
        }


def change(mixed: Mixed, *words: str, status: int = 0) -> dict[str, dict[str, Any]]:
    """Change two sites or less by `vmoodle config`; return what each answered."""
    document = mixed.fleet.json("config", *words, "--yes", status=status)
    return {row["site"]: row for row in document["results"]} | {"run": document["run"]}


def value(mixed: Mixed, site: str, name: str) -> object:
    ended = mixed.fleet.run("config", "get", name, "--on", site, "--json", status=None)
    if ended.returncode == 3:
        assert "setting.unknown" in ended.stderr
        return None
    (row,) = json.loads(ended.stdout)["results"][0]["rows"]
    return row["stored"]


def logged(mixed: Mixed, site: str) -> list[tuple[Any, ...]]:
    return mixed.ask(site, "SELECT plugin, name, oldvalue, value FROM {config_log} ORDER BY id")


def test_settings_are_set_on_both_engines_logged_and_taken_back(mixed: Mixed) -> None:
    put(mixed, "p2", "theme", "classic")
    words = ("set", "theme=classic", "mod_quiz/timelimit=90", "--on", "m1, p2")
    trial = mixed.fleet.json("config", *words, "--dry-run")["results"]
    assert [row["rows"] for row in trial] == [
        [
            {"setting": "theme", "old": "boost", "new": "classic", "note": ""},
            {"setting": "mod_quiz/timelimit", "old": "60", "new": "90", "note": ""},
        ],
        [
            {"setting": "mod_quiz/timelimit", "old": "60", "new": "90", "note": ""},
            {
                "setting": "theme", "old": "classic", "new": "classic",
                "note": "is so already",
            },
        ],
    ]  # fmt: skip
    assert value(mixed, "m1", "theme") == "boost"
    done = change(mixed, *words)
    assert [value(mixed, site, "theme") for site in ("m1", "m2", "p2")] == [
        "classic", "boost", "classic"
    ]  # fmt: skip
    assert ("mod_quiz", "timelimit", "60", "90") in logged(mixed, "p2")
    assert len(logged(mixed, "p2")) == 1
    mixed.fleet.run("run", "undo", str(done["run"]), "--yes")
    assert [value(mixed, site, "theme") for site in ("m1", "p2")] == ["boost", "classic"]
    assert value(mixed, "p2", "mod_quiz/timelimit") == "60"
    problem = mixed.fleet.problem("run", "undo", str(done["run"]), "--yes")
    back = mixed.fleet.json("run", "list", "--command", "config.set")[0]["run"]
    assert (problem["code"], back in problem["hint"]) == ("run.undone", True)


def test_what_somebody_else_has_set_since_is_not_taken_back(mixed: Mixed) -> None:
    done = change(mixed, "set", "theme=classic", "lang=de", "--on", "m1, p1")
    put(mixed, "m1", "theme", "other")
    words = ("run", "undo", str(done["run"]), "--yes")
    rows = {row["site"]: row for row in mixed.fleet.json(*words, status=1)["results"]}
    assert rows["m1"]["error"]["code"] == "setting.changed"
    assert [value(mixed, "m1", name) for name in ("theme", "lang")] == ["other", "de"]
    assert [value(mixed, "p1", name) for name in ("theme", "lang")] == ["boost", "en"]


def test_a_setting_that_is_not_there_is_made_only_when_told(mixed: Mixed) -> None:
    put(mixed, "m2", "rare", "1")
    words = ("config", "set", "rare=2", "--on", "m2, p1", "--dry-run")
    (_m2, p1) = mixed.fleet.json(*words, status=1)["results"]
    assert p1["error"]["code"] == "setting.unknown"
    done = change(mixed, "set", "themee=", "--new", "--on", "m1, p1")
    assert [value(mixed, site, "themee") for site in ("m1", "p1")] == ["", ""]
    mixed.fleet.run("run", "undo", str(done["run"]), "--yes")
    assert [value(mixed, site, "themee") for site in ("m1", "p1")] == [None, None]


def test_a_forced_setting_is_refused_with_how_to_change_it(mixed: Mixed) -> None:
    from vmoodle.registry import forced, sites

    forced.force(forced.Scope(site=sites.find("p1")), "", "theme", "classic")
    rows = change(mixed, "set", "theme=x", "lang=de", "--on", "m1, p1", status=1)
    assert rows["p1"]["error"]["code"] == "setting.forced"
    assert "vmoodle forced set theme" in rows["p1"]["error"]["hint"]
    assert [value(mixed, site, "lang") for site in ("m1", "p1")] == ["de", "en"]


def test_settings_are_unset_and_are_back_after_an_undo(mixed: Mixed) -> None:
    put(mixed, "m2", "rare", "1")
    done = change(mixed, "unset", "mod_quiz/timelimit", "rare", "--on", "m2, p2")
    timelimit, rare = done["p2"]["rows"]
    assert timelimit == {
        "setting": "mod_quiz/timelimit", "old": "60", "new": None, "note": "is unset"
    }  # fmt: skip
    assert (rare["setting"], rare["old"]) == ("rare", None)
    assert rare["note"].startswith("left: it is not set there")
    assert value(mixed, "m2", "mod_quiz/timelimit") is None
    mixed.fleet.run("run", "undo", str(done["run"]), "--yes")
    assert [value(mixed, site, "mod_quiz/timelimit") for site in ("m2", "p2")] == ["60", "60"]


def test_a_secret_comes_from_a_file_and_is_shown_nowhere(mixed: Mixed, tmp_path: Path) -> None:
    for site in NAMES:
        put(mixed, site, "smtppass", "old-s3cret")
        put(mixed, site, "bind_pw", "old-s3cret", "auth_ldap")
        put(mixed, site, "html", "", "auth_ldap")
    words = ("set", "smtppass=new-s3cret", "--on", "m1, p1")
    assert mixed.fleet.problem("config", *words)["code"] == "setting.secret"
    secret, text = tmp_path / "secret", tmp_path / "text"
    secret.write_text("new-s3cret\n")
    text.write_text("<b>\nlong\n</b>\n")
    ended = mixed.fleet.run(
        "config", "set", "--value-file", f"smtppass={secret}", "--value-file",
        f"auth_ldap/bind_pw={secret}", "--value-file", f"auth_ldap/html={text}", "--on", "m1, p1",
        "--yes",
    )  # fmt: skip
    assert "s3cret" not in ended.stdout + ended.stderr
    for site in ("m1", "p1"):
        assert mixed.ask(site, "SELECT value FROM {config} WHERE name = 'smtppass'") == [
            ("new-s3cret",)
        ]
        assert mixed.ask(site, "SELECT value FROM {config_plugins} WHERE name = 'html'") == [
            ("<b>\nlong\n</b>",)
        ]
        assert "s3cret" not in str(logged(mixed, site))
    shown = mixed.fleet.json("run", "list", "--command", "config.set")[0]
    assert shown["parameters"]["secret_names"] == ["smtppass", "auth_ldap/bind_pw"]
    assert "s3cret" not in str(shown)
    registry = (mixed.fleet.home / "registry.sqlite3").read_bytes()
    assert b"s3cret" not in registry
    mixed.fleet.run("run", "undo", shown["run"], "--yes")
    assert mixed.ask("p1", "SELECT value FROM {config} WHERE name = 'smtppass'") == [
        ("old-s3cret",)
    ]
    problem = mixed.fleet.problem("run", "again", shown["run"])
    assert problem["code"] == "run.secret"


def test_a_run_without_a_secret_is_done_again(mixed: Mixed) -> None:
    done = change(mixed, "set", "theme=classic", "--on", "m1")
    put(mixed, "m1", "theme", "boost")
    mixed.fleet.run("run", "again", str(done["run"]), "--yes")
    assert value(mixed, "m1", "theme") == "classic"


def test_a_plugins_configuration_is_copied_to_other_sites(mixed: Mixed) -> None:
    for site in NAMES:
        put(mixed, site, "version", f"1{site}", "auth_ldap")
        put(mixed, site, "bind_pw", f"s3cret-of-{site}", "auth_ldap")
        put(mixed, site, "apikey", "" if site == "m1" else "s3cret-of-its-own", "auth_ldap")
    put(mixed, "m1", "host_url", "ldap://one", "auth_ldap")
    put(mixed, "p1", "extra", "1", "auth_ldap")
    put(mixed, "m2", "extra", "1", "auth_ldap")
    words = ("copy", "auth_ldap", "lang", "--from", "m1", "--on", "m2, p1")
    kept = change(mixed, *words, "--keep")
    assert kept["p1"]["rows"] == [
        {"setting": "auth_ldap/host_url", "old": None, "new": "ldap://one", "note": "was not set"}
    ]
    left = mixed.fleet.json("run", "show", str(kept["run"]))["parameters"]["left"]
    assert left == {"auth_ldap/bind_pw": "it is a secret"}
    assert mixed.ask("p1", "SELECT value FROM {config_plugins} WHERE name = 'apikey'") == [
        ("s3cret-of-its-own",)
    ]
    done = change(mixed, *words, "--with-secrets")
    for site in ("m2", "p1"):
        assert mixed.ask(site, "SELECT name, value FROM {config_plugins} WHERE plugin = 'auth_ldap'"
                         " ORDER BY name") == [
            ("apikey", ""), ("bind_pw", "s3cret-of-m1"), ("host_url", "ldap://one"),
            ("version", f"1{site}"),
        ]  # fmt: skip
    assert "s3cret" not in str(done)
    mixed.fleet.run("run", "undo", str(done["run"]), "--yes")
    assert value(mixed, "p1", "auth_ldap/extra") == "1"
    rows = mixed.ask("p1", "SELECT value FROM {config_plugins} WHERE name = 'bind_pw'")
    assert rows == [("s3cret-of-p1",)]
    assert b"s3cret-of" not in (mixed.fleet.home / "registry.sqlite3").read_bytes()


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("set", "theme"), "setting.value"),
        (("set",), "setting.none"),
        (("set", "theme=a", "core/theme=b"), "setting.twice"),
        (("set", "version=1"), "setting.reserved"),
        (("set", "rolesactive=0"), "setting.reserved"),
        (("set", "adminsetuppending=1"), "setting.reserved"),
        (("unset", "rolesactive"), "setting.reserved"),
        (("unset", "core/siteguest"), "setting.reserved"),
        (("set", "wwwroot=http://x.test", "--new"), "setting.forced"),
        (("unset", "dbhost"), "setting.forced"),
        (("set", "siteadmins=1"), "setting.reserved"),
        (("unset", "siteadmins"), "setting.reserved"),
        (("set", "a b=1"), "setting.name"),
        (("set", "--value-file", "theme"), "setting.file"),
        (("set", "--value-file", "theme=/nowhere/x"), "secret.unreadable"),
        (("unset", "auth_*/x"), "setting.name"),
        (("unset", "mod_quiz/version"), "setting.reserved"),
        (("copy", "*", "--from", "m1"), "setting.copy"),
        (("copy", "mod_quizz", "--from", "m1"), "setting.unknown"),
        (("copy", "mod_quiz", "--from", "m9"), "site.unknown"),
    ],
)
def test_what_cannot_be_is_refused_before_any_site(
    mixed: Mixed, words: tuple[str, ...], code: str
) -> None:
    assert mixed.fleet.problem("config", *words, "--on", "m1, p1", "--yes")["code"] == code


def test_what_a_broken_installation_left_is_unset(mixed: Mixed) -> None:
    put(mixed, "p1", "adminsetuppending", "1")
    change(mixed, "unset", "adminsetuppending", "--on", "p1")
    assert value(mixed, "p1", "adminsetuppending") is None
