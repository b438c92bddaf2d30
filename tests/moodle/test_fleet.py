"""What an administrator sees of a fleet of eight: each site itself, and nothing of its sisters."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from tests.moodle.conftest import SiteUnderTest, World
from tests.web import Browser


def test_every_front_page_shows_its_own_name_and_no_other(world: World) -> None:
    for site in world.sites:
        page = site.browser().get("/")
        assert page.status == 200, (site, page.text[:500])
        text = page.text
        assert f"«{site.shortname}»" in text
        assert not [other for other in world.sites if other != site
                    and f"«{other.shortname}»" in text]  # fmt: skip


def test_hook_check_sees_every_site(world: World) -> None:
    rows = world.fleet.json("hook", "check")
    assert len(rows) == len(world.sites)
    assert all(row["ok"] for row in rows)


def test_each_administrator_logs_in_with_the_own_password_and_with_no_other(world: World) -> None:
    for site, other in zip(world.sites, world.sites[1:] + world.sites[:1], strict=True):
        stranger = site.browser()
        stranger.login("admin", other.password)
        assert not stranger.is_logged_in()
        own = site.browser()
        own.login("admin", site.password)
        assert own.is_logged_in(), site


def test_a_session_of_one_site_is_worth_nothing_on_another(world: World) -> None:
    first = world.sites[0]
    own = first.browser()
    own.login("admin", first.password)
    session = {k: v for k, v in own.cookies.items() if k.startswith("MoodleSession")}
    assert session
    for other in world.sites[1:]:
        visitor = other.browser()
        visitor.get("/")
        names = [name for name in visitor.cookies if name.startswith("MoodleSession")]
        assert not set(names) & set(session), "two sites use one cookie name"
        for name in names:
            visitor.cookies[name] = next(iter(session.values()))
        assert not visitor.is_logged_in()


def test_stock_scripts_run_on_the_chosen_site_only(world: World) -> None:
    chosen, others = world.sites[2], [world.sites[3], world.sites[6]]
    run = world.fleet.run
    run(
        "exec", chosen.shortname, "--", "admin/cli/cfg.php", "--name=supportname", "--set=Only here"
    )
    assert value_of(world, chosen, "supportname") == "Only here"
    for other in others:
        assert value_of(world, other, "supportname") != "Only here"


@pytest.mark.parametrize(
    "script",
    [
        ["admin/cli/purge_caches.php"],
        ["admin/cli/upgrade.php", "--is-pending"],
        ["admin/cli/cron.php", "--keep-alive=0"],
    ],
    ids=lambda script: Path(script[0]).stem,
)
def test_a_stock_script_ends_well_on_each_codebase(world: World, script: list[str]) -> None:
    for site in (world.sites[1], world.sites[-1]):
        world.fleet.run("exec", site.shortname, "--", *script)


def test_exec_passes_the_exit_status_through(world: World) -> None:
    site = world.sites[0]
    ended = world.fleet.run(
        "exec", site.shortname, "--", "admin/cli/cfg.php", "--name=nosuchsetting", status=None
    )
    assert ended.returncode == 3


def test_exec_all_reaches_every_site(world: World) -> None:
    rows = world.fleet.json("exec", "--all", "--", "admin/cli/cfg.php", "--name=wwwroot")
    assert {row["site"]: row["output"].strip() for row in rows} == {
        site.shortname: f"http://{site.host}" for site in world.sites
    }


def test_a_stock_script_without_a_site_ends_with_status_1_and_touches_nothing(
    world: World,
) -> None:
    path = world.fleet.json("codebase", "show", "moodle4.5")["path"]
    for wanted in (None, "nosuchsite", "../s45-m1", ""):
        environment = {k: v for k, v in os.environ.items() if k != "VMOODLE_SITE"}
        if wanted is not None:
            environment["VMOODLE_SITE"] = wanted
        ended = subprocess.run(
            ["php", "-d", "max_input_vars=5000", "admin/cli/purge_caches.php"],
            cwd=path, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert ended.returncode == 1, ended.stdout + ended.stderr
        assert ended.stderr.strip()
        assert not ended.stdout.strip()


def test_an_unknown_host_is_404_and_says_nothing(world: World) -> None:
    for address in world.addresses.values():
        page = Browser(address, "nobody.example.test").get("/")
        assert page.status == 404
        assert "s45" not in page.text
        assert "/" + str(world.fleet.home).strip("/") not in page.text


def test_a_host_of_the_other_codebase_is_not_served_by_this_one(world: World) -> None:
    site = world.sites[0]
    wrong = world.addresses["5.1"]
    assert Browser(wrong, site.host).get("/").status == 503


def test_every_site_serves_without_registry_and_operations(world: World) -> None:
    hidden = []
    for name in ("registry.sqlite3", "operations.sqlite3", "key", "vmoodle.toml"):
        path = world.fleet.home / name
        if path.exists():
            path.rename(path.with_suffix(".hidden"))
            hidden.append(path)
    try:
        for site in world.sites:
            assert site.browser().get("/").status == 200
    finally:
        for path in hidden:
            path.with_suffix(".hidden").rename(path)


def test_a_suspended_site_answers_503_while_its_scripts_and_sisters_work(world: World) -> None:
    site, sister = world.sites[4], world.sites[5]
    world.fleet.run("site", "suspend", site.shortname)
    page = site.browser().get("/")
    assert page.status == 503
    assert int(page.headers["retry-after"]) > 0
    assert site.shortname not in page.text
    assert sister.browser().get("/").status == 200
    world.fleet.run("exec", site.shortname, "--", "admin/cli/purge_caches.php")
    world.fleet.run("site", "resume", site.shortname)
    assert site.browser().get("/").status == 200


def test_a_forced_setting_is_seen_by_the_next_request_and_by_scripts(world: World) -> None:
    site = world.sites[0]
    world.fleet.run("forced", "set", "supportname", "Forced", "--site", site.shortname)
    assert value_of(world, site, "supportname") == "Forced"
    world.fleet.run("forced", "unset", "supportname", "--site", site.shortname)
    assert value_of(world, site, "supportname") != "Forced"


def test_a_renamed_site_shows_its_new_name(world: World) -> None:
    site = world.sites[1]
    world.fleet.run("site", "set", site.shortname, "--name", "Neuer Name «neu»")
    try:
        assert "«neu»" in site.browser().get("/").text
    finally:
        world.fleet.run("site", "set", site.shortname, "--name", site.name)


def test_an_alias_redirects_to_the_own_address(world: World) -> None:
    site = world.sites[0]
    world.fleet.run("site", "set", site.shortname, "--alias", "other.example.test")
    page = Browser(site.address, "other.example.test").get("/course/?a=b", follow=False)
    assert page.status == 301
    assert page.headers["location"] == f"http://{site.host}/course/?a=b"
    world.fleet.run("site", "set", site.shortname, "--remove-alias", "other.example.test")
    assert Browser(site.address, "other.example.test").get("/").status == 404


def test_a_site_below_a_path_is_itself(world: World) -> None:
    site = world.sites[0]
    password = world.fleet.home / "sub.password"
    password.write_text("Sub-path-Passw0rd!\n")
    created = world.fleet.json(
        "site", "clone", site.shortname, "sub", "--url", f"http://{site.host}/sub",
        "--name", "«sub»", "--admin-password-file", str(password),
    )  # fmt: skip
    assert created["state"] == "enabled"
    visitor = Browser(site.address, site.host)
    assert "«sub»" in visitor.get("/sub/").text
    visitor.login("admin", "Sub-path-Passw0rd!", prefix="/sub")
    assert visitor.is_logged_in(prefix="/sub")
    assert not visitor.is_logged_in()
    world.fleet.run("site", "suspend", "sub")
    world.fleet.run("site", "delete", "sub", "--confirm", "sub", "--purge")
    assert Browser(site.address, site.host).get("/sub/").status == 410
    assert site.browser().get("/").status == 200


def test_a_deleted_site_answers_410_and_leaves_nothing(world: World) -> None:
    site = next(s for s in reversed(world.sites) if s.server == "maria")
    facts = world.fleet.json("site", "show", site.shortname)
    problem = world.fleet.problem(
        "site", "delete", site.shortname, "--confirm", site.shortname, "--purge"
    )
    assert problem["code"] == "site.enabled"
    world.fleet.run("site", "suspend", site.shortname)
    problem = world.fleet.problem("site", "delete", site.shortname, "--confirm", "typo", "--purge")
    assert problem["code"] == "site.delete.unconfirmed"
    world.fleet.run("site", "delete", site.shortname, "--confirm", site.shortname, "--purge")
    assert site.browser().get("/").status == 410
    assert not Path(facts["dataroot"]).exists()
    world.sites.remove(site)
    world.fleet.assert_clean()


def test_no_password_is_in_any_file_of_the_home_but_the_map(world: World) -> None:
    secrets = [site.password for site in world.sites]
    for path in world.fleet.home.rglob("*"):
        if path.is_file() and "codebases" not in path.parts and "moodledata" not in path.parts:
            content = path.read_bytes()
            assert not [s for s in secrets if s.encode() in content and path.suffix != ".password"]


def value_of(world: World, site: SiteUnderTest, setting: str) -> str:
    ended = world.fleet.run(
        "exec", site.shortname, "--", "admin/cli/cfg.php", f"--name={setting}", status=None
    )
    return ended.stdout.strip()
