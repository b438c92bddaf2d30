"""`vmoodle config get|compare` on both engines: values, forced ones, secrets, differences."""

from __future__ import annotations

from tests.contract.test_sql import NAMES, Mixed, both, mixed

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
    told = get(mixed, "theme", "mod_quiz/timelimit", "nothing", "--on", "*")
    assert list(told) == NAMES
    for rows in told.values():
        assert (rows["theme"]["value"], rows["theme"]["forced"]) == ("boost", False)
        assert rows["mod_quiz/timelimit"]["value"] == "60"
        assert rows["nothing"]["value"] is None
    put(mixed, "p1", "time_limit", "1", "mod_quiz")
    assert get(mixed, "mod_quiz/time?limit", "--on", "p1")["p1"].keys() == {"mod_quiz/time_limit"}
    assert get(mixed, "*", "*/*", "--on", "m1")["m1"].keys() == {
        "lang", "theme", "mod_quiz/timelimit"
    }  # fmt: skip


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
    assert "m1, m2, p1: (not there)" in lines["extra"]
    assert "2 more are the same" in ended.stderr
    document = mixed.fleet.json("config", "compare", "lang", "--on", "*")
    assert {row["site"]: row["matrix"] for row in document["results"]}["m2"] == {"lang": "de"}


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


def test_what_names_no_setting_is_refused(mixed: Mixed) -> None:
    for word in ("a b", "'; DROP TABLE x", "/x", ""):
        assert mixed.fleet.problem("config", "get", word, "--on", "*")["code"] == "config.setting"
