"""Site care as an administrator of a fleet does it: each change shows on the next request."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.moodle.conftest import SiteUnderTest, World
from tests.moodle.running_site import running_site, site_kinds
from tests.web import Browser

from vmoodle.moodle.care.sessions import END_BY_MOODLE
from vmoodle.moodle.identity.sha512_crypt import new_salt, sha512_crypt

SECOND, PASSWORD = "second", "Second-Passw0rd!"
MESSAGE = "<p>Back at <b>noon</b>, M&uuml;ller</p>"
TASK = r"\core\task\session_cleanup_task"
PROBED = """
INSERT INTO {user} (username, mnethostid, confirmed, firstname, lastname, email, password, auth)
SELECT :name, mnethostid, 1, 'Se', 'Cond', 'second@example.test', :hash, 'manual'
  FROM {user} WHERE username = 'admin'
"""


def change(world: World, *words: str, on: str = "*", status: int = 0) -> dict[str, Any]:
    """Order a change, confirm it by what its refusal names, and return each site's answer."""
    ended = world.fleet.run(*words, "--on", on, "--yes", "--json", status=None)
    if ended.returncode == 5 and "run.unconfirmed" in ended.stderr:
        found = re.search(r"--confirm (\S+)\. ", json.loads(ended.stderr.splitlines()[-1])["hint"])
        assert found, ended.stderr
        phrase = found[1]
        ended = world.fleet.run(
            *words, "--on", on, "--confirm", phrase, "--json", status=status
        )  # fmt: skip
    assert ended.returncode == status, ended
    return dict(json.loads(ended.stdout))


def undo(world: World, run: str) -> dict[str, Any]:
    problem = world.fleet.problem("run", "undo", run, "--yes")
    assert problem["code"] == "run.unconfirmed", problem
    found = re.search(r"--confirm (\S+)\. ", problem["hint"])
    assert found
    return dict(world.fleet.json("run", "undo", run, "--confirm", found[1]))


def rows(world: World, *words: str, on: str = "*") -> dict[str, list[dict[str, Any]]]:
    document = world.fleet.json(*words, "--on", on)
    return {row["site"]: row["rows"] for row in document["results"]}


def statuses(world: World, path: str = "/") -> set[int]:
    return {site.browser().get(path).status for site in world.sites}


def logged_in(site: SiteUnderTest, username: str, password: str) -> Browser:
    browser = site.browser()
    browser.login(username, password)
    assert browser.is_logged_in(), (site, username)
    return browser


@pytest.fixture
def people(world: World) -> Iterator[dict[str, tuple[Browser, Browser]]]:
    """A second user on every site, logged in beside the administrator."""
    word = ("--write", "--param", f"name={SECOND}")
    change(world, "sql", PROBED, *word, "--param", f"hash={sha512_crypt(PASSWORD, new_salt())}")
    yield {
        site.shortname: (
            logged_in(site, "admin", site.password), logged_in(site, SECOND, PASSWORD)
        )
        for site in world.sites
    }  # fmt: skip
    change(world, "sql", "DELETE FROM {user} WHERE username = :name", *word)


def test_closed_sites_show_the_message_at_once_and_an_undo_opens_them(world: World) -> None:
    assert statuses(world) == {200}
    done = change(world, "maintenance", "on", "--message", MESSAGE)
    assert {row["rows"][0]["is"] for row in done["results"]} == {"closed"}
    for site in world.sites:
        page = site.browser().get("/login/index.php")
        assert (page.status, MESSAGE in page.text) == (503, True), site
    shown = world.fleet.run("maintenance", "show", "--on", "*").stdout
    assert "closed" in shown and MESSAGE in shown
    assert "open" not in shown
    # Another message on the page that is up; the undo of that one leaves the sites closed.
    other = change(world, "maintenance", "on", "--message", "Tomorrow")
    assert "Tomorrow" in world.sites[0].browser().get("/").text
    undo(world, other["run"])
    assert MESSAGE in world.sites[-1].browser().get("/").text
    undo(world, done["run"])
    assert statuses(world) == {200}
    assert [row["message"] for (row,) in rows(world, "maintenance", "show").values()] == [
        None
    ] * len(world.sites)


def test_an_undo_leaves_what_somebody_else_changed_since(world: World) -> None:
    site = world.sites[0]
    done = change(world, "maintenance", "on", on=site.shortname)
    change(world, "maintenance", "off", on=site.shortname)
    ended = world.fleet.run("run", "undo", done["run"], "--yes", status=5)
    assert "maintenance.changed" in ended.stderr
    assert site.browser().get("/").status == 200


def test_administrators_are_let_in_while_others_are_not(
    world: World, people: dict[str, tuple[Browser, Browser]]
) -> None:
    change(world, "maintenance", "on", "--but-admins")
    for admin, second in people.values():
        assert (admin.get("/").status, second.get("/").status) == (200, 503)
    # A user who becomes an administrator is let in on the next request, and no more after an undo.
    added = change(world, "admin", "add", SECOND)
    assert {row["rows"][0]["is"] for row in added["results"]} == {f"admin, {SECOND}"}
    assert {second.get("/").status for _admin, second in people.values()} == {200}
    undo(world, added["run"])
    assert {second.get("/").status for _admin, second in people.values()} == {503}
    change(world, "maintenance", "off")
    assert {second.get("/").status for _admin, second in people.values()} == {200}


def test_sites_close_by_themselves_when_their_time_has_come(world: World) -> None:
    change(world, "maintenance", "on", "--in", "30")
    times = {row["closes_at"] for (row,) in rows(world, "maintenance", "show").values()}
    assert len(times) == 1 and None not in times
    assert statuses(world) == {200}
    change(world, "sql", "UPDATE {config} SET value = '1' WHERE name = 'maintenance_later'",
           "--write")  # fmt: skip
    assert statuses(world) == {200}  # what Moodle has cached
    change(world, "cache", "purge", "--definition", "core/config")
    assert statuses(world) == {503}
    closed = {row["state"] for (row,) in rows(world, "maintenance", "show").values()}
    assert closed == {"closed"}
    # Who is closed already cannot be told to close later.
    words = ("maintenance", "on", "--in", "5", "--on", world.sites[0].shortname)
    ended = world.fleet.run(*words, "--dry-run", "--json", status=1)
    assert json.loads(ended.stdout)["results"][0]["error"]["code"] == "maintenance.closed"
    change(world, "maintenance", "off")
    assert statuses(world) == {200}


def test_sessions_end_on_the_next_request(
    world: World, people: dict[str, tuple[Browser, Browser]]
) -> None:
    ended = change(world, "session", "kill", "--user", SECOND.upper())
    assert {row["rows"][0]["sessions"] for row in ended["results"]} == {1}
    for admin, second in people.values():
        assert (admin.is_logged_in(), second.is_logged_in()) == (True, False)
    for site in world.sites:
        people[site.shortname] = (people[site.shortname][0], logged_in(site, SECOND, PASSWORD))
    change(world, "session", "kill", "--but-admins")
    for admin, second in people.values():
        assert (admin.is_logged_in(), second.is_logged_in()) == (True, False)
    change(world, "session", "kill")
    assert not any(admin.is_logged_in() for admin, _second in people.values())


def test_who_administers_a_site_is_never_nobody_and_never_the_guest(world: World) -> None:
    site = world.sites[1].shortname
    for words, code in (
        (("remove", "admin"), "admin.last"),
        (("add", "guest"), "user.guest"),
        (("add", "nobody"), "user.unknown"),
        (("add", "admin"), "admin.already"),
        (("remove", "nobody"), "user.unknown"),
    ):
        ended = world.fleet.run("admin", *words, "--on", site, "--dry-run", "--json", status=1)
        (result,) = json.loads(ended.stdout)["results"]
        assert result["error"]["code"] == code
    listed = rows(world, "admin", "list")
    assert {one["username"] for admins in listed.values() for one in admins} == {"admin"}


def test_a_locked_out_administrator_logs_in_with_a_password_of_the_sites_own(
    world: World, tmp_path: Path
) -> None:
    script = (
        "INSERT INTO {user_preferences} (userid, name, value) SELECT id, 'login_lockout',"
        " '2000000000' FROM {user} WHERE username = 'admin';"
        " UPDATE {user} SET suspended = 1, auth = 'nologin' WHERE username = 'admin'"
    )
    change(world, "sql", script, "--write")
    out = tmp_path / "passwords"
    words = ("admin", "reset", "admin", "--password-out", str(out))
    trial = world.fleet.json(*words, "--on", "*", "--dry-run")
    assert "suspended" in trial["results"][0]["rows"][0]["in_the_way"]
    assert not out.exists()
    done = change(world, *words)
    assert {path.name for path in out.iterdir()} == {site.shortname for site in world.sites}
    passwords = {path.name: path.read_text().strip() for path in out.iterdir()}
    assert len(set(passwords.values())) == len(world.sites)
    assert {path.stat().st_mode & 0o777 for path in out.iterdir()} == {0o600}
    kept = json.dumps(world.fleet.json("run", "show", done["run"]))
    for site in world.sites:
        password = passwords[site.shortname]
        assert password not in kept
        browser = site.browser()
        page = browser.login("admin", password)
        assert "newpassword1" in page.text or browser.is_logged_in(), site
        assert site.browser().login("admin", site.password).text.count('name="logintoken"')
    undo(world, done["run"])
    script = (
        "UPDATE {user} SET suspended = 0, auth = 'manual' WHERE username = 'admin';"
        " DELETE FROM {user_preferences} WHERE name = 'login_lockout'"
    )
    change(world, "sql", script, "--write")
    for site in world.sites:
        logged_in(site, "admin", site.password)


def test_a_task_runs_now_and_one_that_fails_is_listed(world: World) -> None:
    change(world, "sql", "UPDATE {task_scheduled} SET faildelay = 60, lastruntime = 1 WHERE"
           " classname LIKE '%session_cleanup_task'", "--write")  # fmt: skip
    failing = rows(world, "task", "failing").values()
    assert all(TASK in [row["task"] for row in found] for found in failing)
    done = change(world, "task", "run", TASK.removeprefix("\\"))
    assert {row["rows"][0]["result"] for row in done["results"]} == {"complete"}
    for (task,) in rows(world, "task", "list", "--task", "*session_cleanup*").values():
        assert (task["task"], task["fail_delay"], task["off"]) == (TASK, 0, False)
        assert task["last_run"] > "2026"
    words = ("task", "run", r"\core\task\session_cleanup", "--on", world.sites[0].shortname)
    ended = world.fleet.run(*words, "--dry-run", "--json", status=1)
    (result,) = json.loads(ended.stdout)["results"]
    assert result["error"]["code"] == "task.unknown"
    assert TASK in result["error"]["hint"]


def test_the_checks_of_moodle_are_summed_up_over_the_fleet(world: World) -> None:
    document = world.fleet.json("checks", "--on", "*")
    for row in document["results"]:
        assert row["matrix"]["core_environment"] == "ok"
        assert "tool_task_cronrunning" in row["matrix"]
    site = world.sites[0].shortname
    change(world, "sql", "UPDATE {config_plugins} SET value = '1' WHERE plugin = 'tool_task' AND"
           " name = 'lastcronstart'; DELETE FROM {config_plugins} WHERE plugin = 'tool_task'"
           " AND name = 'lastcronstart'", "--write", on=site)  # fmt: skip
    change(world, "cache", "purge", "--definition", "core/config", on=site)
    named = ("checks", "--on", site, "--filter", "cronrunning")
    shown = world.fleet.run(*named)
    assert re.search(r"tool_task_cronrunning +critical", shown.stdout)
    line = world.fleet.run(*named, "--nagios", status=2).stdout
    assert line.startswith("CRITICAL: 1 site(s) critical by tool_task_cronrunning: ")
    assert line.endswith("| sites=1 ok=0 warning=0 critical=1 unknown=0\n")
    (why,) = rows(world, "checks", "--filter", "cronrunning", "--why", on=site)[site]
    assert (why["check"], why["status"]) == ("tool_task_cronrunning", "critical")


def test_caches_are_purged_all_or_in_parts(world: World) -> None:
    def revisions() -> set[int]:
        found = rows(world, "config", "get", "themerev", "templaterev")
        return {int(row["value"] or 0) for one in found.values() for row in one}

    before = revisions()
    change(world, "cache", "purge", "--part", "theme", "--part", "template")
    assert min(revisions()) > max(before)
    done = change(world, "cache", "purge")
    assert {row["value"] for row in done["results"]} == {"purged all caches"}
    site = world.sites[0].shortname
    words = ("cache", "purge", "--on", site, "--dry-run")
    assert world.fleet.problem(*words, "--part", "all")["code"] == "command.parameter"
    assert world.fleet.problem(*words, "--definition", "x")["code"] == "cache.definition"
    assert statuses(world) == {200}


@pytest.mark.moodle
@pytest.mark.parametrize("kind", site_kinds())
def test_moodle_itself_ends_a_users_sessions_where_rows_are_not_enough(
    kind: tuple[Path, str], database_urls: dict[str, str]
) -> None:
    tree, server = kind
    with running_site(tree, database_urls[server]) as site, site.served() as browser:
        site.run(
            "$user = get_admin(); update_internal_user_password($user, 'Own-Passw0rd!');"
            "unset_user_preference('auth_forcepasswordchange', $user);"
        )
        browser.login("admin", "Own-Passw0rd!")
        assert browser.is_logged_in()
        for given, stays in (({"users": None, "keep": [2]}, True), ({"users": [2]}, False)):
            start = f"define('CLI_SCRIPT', true); require '{site.tree.root}/config.php';"
            site.php.ask(start + END_BY_MOODLE, given=json.dumps(given).encode())
            assert browser.is_logged_in() == stays
