"""The sandbox tree keeps the contracts that VMoodle relies on, on both engines."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.sandbox_site import NAME, PASSWORD, ROUTER, Site, make_site
from tests.servers import (
    PrivateServer,
    mariadb_missing,
    postgresql_missing,
    private_mariadb,
    private_postgresql,
)

from vmoodle import sandbox
from vmoodle.engines.protocol import SiteDatabase, open_engine
from vmoodle.moodle.caches.invalidation import invalidate
from vmoodle.moodle.caches.stores import CachePlace
from vmoodle.moodle.plugins.rules import PluginState
from vmoodle.moodle.plugins.states import read_plugins
from vmoodle.moodle.roles.changes import apply_plan
from vmoodle.moodle.roles.definitions import read_roles
from vmoodle.moodle.roles.plan import plan_permission

pytestmark = pytest.mark.skipif(shutil.which("php") is None, reason="PHP is not installed")


@pytest.fixture(scope="module")
def directory() -> Iterator[Path]:
    """A directory that the servers' accounts can pass."""
    made = Path(tempfile.mkdtemp(prefix="vmsandbox-"))
    made.chmod(0o711)
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture(scope="module", params=["pgsql", "mariadb"])
def engine(request: pytest.FixtureRequest, directory: Path) -> Iterator[tuple[str, PrivateServer]]:
    """Each engine with a private server."""
    start, missing = {
        "pgsql": (private_postgresql, postgresql_missing),
        "mariadb": (private_mariadb, mariadb_missing),
    }[request.param]
    if missing():
        pytest.skip(missing())
    with start(directory / request.param) as server:
        yield request.param, server


@pytest.fixture(scope="module")
def site(engine: tuple[str, PrivateServer], directory: Path) -> Site:
    """An installed site of 4.5."""
    made = make_site(engine, directory, "classic", "4.5")
    ended = made.install()
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return made


def test_the_front_page_shows_the_sites_own_name_escaped(site: Site) -> None:
    with site.served() as browser:
        page = browser.get("/")
    assert page.status == 200
    assert "<title>Home | school</title>" in page.text
    assert "<h1>Höhere Schule &lt;am&gt; &quot;See&quot; &amp; O&apos;Brien</h1>" in page.text
    assert "VMoodle sandbox — not Moodle" in page.text


def test_only_the_right_password_logs_in_and_logging_out_ends_it(site: Site) -> None:
    with site.served() as browser:
        assert "Invalid login" in browser.log_in("Wrong-River-42").text
        assert browser.log_in(PASSWORD).status == 303
        page = browser.get("/").text
        assert "Admin User" in page
        logout = re.search(r'href="[^"]*(/login/logout.php\?sesskey=\w+)"', page)
        assert logout
        assert browser.get("/login/logout.php?sesskey=other").status == 403
        assert browser.get(logout[1]).status == 303
        assert "Admin User" not in browser.get("/").text


def test_ending_all_sessions_logs_everybody_out(site: Site) -> None:
    with site.served() as browser:
        browser.log_in(PASSWORD)
        assert site.run("kill_all_sessions").returncode == 0
        assert "Admin User" not in browser.get("/").text


def test_a_reset_password_replaces_the_old_one(site: Site) -> None:
    new = "Other-Bridge-43"
    assert site.run("reset_password", "--username=admin", "--password=short").returncode == 1
    assert site.run("reset_password", "--username=nobody", f"--password={new}").returncode == 1
    assert site.run("reset_password", "--username=admin", f"--password={new}").returncode == 0
    with site.served() as browser:
        assert browser.log_in(PASSWORD).status == 200
        assert browser.log_in(new).status == 303
    assert site.run("reset_password", "--username=admin", f"--password={PASSWORD}").returncode == 0


def test_another_host_is_sent_to_the_sites_own_address(site: Site) -> None:
    with site.served() as browser:
        answer = browser.get("/login/index.php", host=f"other.localhost:{site.port}")
    assert answer.status == 303
    assert answer.headers["Location"] == f"{site.url}/login/index.php"


def test_assets_files_and_the_public_function_take_slash_arguments(site: Site) -> None:
    content = b"a stored file"
    digest = hashlib.sha1(content, usedforsecurity=False).hexdigest()
    path = site.dataroot / "filedir" / digest[:2] / digest[2:4] / digest
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    name = hashlib.sha1(b"/1/core/logo/0/a.txt", usedforsecurity=False).hexdigest()
    site.sql(
        "INSERT INTO mdl_files (contenthash, pathnamehash, contextid, component, filearea, itemid,"
        f" filepath, filename, filesize, timecreated, timemodified)"
        f" VALUES ('{digest}', '{name}', 1,"
        f" 'core', 'logo', 0, '/', 'a.txt', {len(content)}, 0, 0)"
    )
    with site.served() as browser:
        assert (
            browser.get("/theme/styles.php/boost/1/all")
            .headers["Content-Type"]
            .startswith("text/css")
        )
        assert browser.get("/theme/styles.php/none/1/all").status == 404
        assert browser.get("/pluginfile.php/1/core/logo/0/a.txt").text == content.decode()
        assert browser.get("/pluginfile.php/1/core/logo/0/b.txt").status == 404
        answer = browser.get("/lib/ajax/service-nologin.php?info=tool_mobile_get_public_config")
    data = json.loads(answer.text)[0]
    assert (data["error"], data["data"]["wwwroot"], data["data"]["sitename"]) == (
        False,
        site.url,
        NAME,
    )


def test_scripts_keep_to_their_interface(site: Site) -> None:
    with site.served() as browser:
        answer = browser.get("/admin/cli/cron.php")
    assert answer.text == "This script is for the command line only."
    ended = subprocess.run(
        ["php", str(site.tree / "index.php")], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    assert "CLI_SCRIPT" in ended.stdout


def test_a_second_installation_is_refused(site: Site) -> None:
    ended = site.install()
    assert ended.returncode == 1
    assert "Database tables already present" in ended.stderr


def test_settings_are_shown_set_and_forced_with_moodles_exit_statuses(site: Site) -> None:
    assert site.setting("release") == "4.5.0 (Build: 20241007) sandbox"
    assert site.setting("dataroot") == str(site.dataroot)
    assert site.run("cfg", "--name=none_such").returncode == 3
    assert site.run("cfg", "--set=1").returncode == 2
    assert site.run("cfg", "--unknown").returncode == 1
    assert site.run("cfg", "--name=colour", "--set=blue", "--component=theme_boost").returncode == 0
    assert (
        json.loads(site.run("cfg", "--component=theme_boost", "--json").stdout)["colour"] == "blue"
    )
    site.write_config(
        "$CFG->colour = 'red'; $CFG->forced_plugin_settings = ['mod_page' => ['x' => 7]];"
    )
    try:
        assert site.setting("colour") == "red"
        assert site.run("cfg", "--component=mod_page", "--name=x").stdout == "7\n"
        assert site.run("cfg", "--name=colour", "--set=blue").returncode == 4
        assert site.run("cfg", "--component=mod_page", "--name=x", "--unset").returncode == 4
    finally:
        site.write_config()


def test_a_setting_changed_by_sql_is_unseen_until_its_cache_is_dropped(site: Site) -> None:
    assert site.run("cfg", "--name=supportname", "--set=Before").returncode == 0
    assert site.setting("supportname") == "Before"
    site.sql("UPDATE mdl_config SET value = 'After' WHERE name = 'supportname'")
    assert site.setting("supportname") == "Before"
    shutil.rmtree(site.dataroot / "cache/cachestore_file/default_application/core_config")
    assert site.setting("supportname") == "After"
    site.sql("UPDATE mdl_config SET value = 'Later' WHERE name = 'supportname'")
    assert site.run("purge_caches").returncode == 0
    assert site.setting("supportname") == "Later"


def test_a_permission_changed_by_sql_counts_once_its_cache_is_dropped(site: Site) -> None:
    columns = "auth, confirmed, mnethostid, password, lastname"
    site.sql(
        f"INSERT INTO mdl_user ({columns}, username, firstname, email)"
        f" SELECT {columns}, 'prover', 'Pro', 'p@example.com' FROM mdl_user WHERE id = 2"
    )
    place, address = CachePlace(site.dataroot), site.server.address
    database = SiteDatabase(site.database, address.user, address.password)
    with site.served() as browser:
        assert browser.log_in(PASSWORD, "prover").status == 303

        def may() -> bool:
            return browser.get("/user/edit.php").status == 200

        assert may()
        with open_engine(address).connect(database, read_only=False) as connection:
            roles = read_roles(connection, ["user"])
            plan = plan_permission("user", "moodle/user:editownprofile", None, roles)
            applied = apply_plan(connection, plan)
        assert may()
        invalidate(place, applied.stale)
        assert not may()
        with open_engine(address).connect(database, read_only=False) as connection:
            applied = apply_plan(connection, applied.undo)
        invalidate(place, applied.stale)
        assert may()
    site.sql("DELETE FROM mdl_user WHERE username = 'prover'")


def test_plugins_have_their_states_where_moodle_has_them(site: Site) -> None:
    address = site.server.address
    database = SiteDatabase(site.database, address.user, address.password)
    with open_engine(address).connect(database) as connection:
        found = read_plugins(connection)
    assert found["mod_page"].state == found["auth_manual"].state == PluginState.ENABLED


def test_the_frozen_site_identifier_survives_sql_but_not_a_purge(site: Site) -> None:
    frozen = site.setting("siteidentifier")
    muc = (site.dataroot / "muc" / "config.php").read_text()
    assert hashlib.md5(frozen.encode(), usedforsecurity=False).hexdigest() in muc
    site.sql(f"UPDATE mdl_config SET value = 'x{frozen}' WHERE name = 'siteidentifier'")
    assert site.setting("siteidentifier") == frozen
    for name in ("cache", "localcache"):
        (site.dataroot / name / "bootstrap.php").unlink(missing_ok=True)
    assert site.setting("siteidentifier") == f"x{frozen}"


def test_cron_runs_what_is_due_and_refuses_a_closed_site(site: Site) -> None:
    site.sql("UPDATE mdl_task_scheduled SET nextruntime = 1, lastruntime = 0")
    adhoc = "INSERT INTO mdl_task_adhoc (component, classname, nextruntime, attemptsavailable"
    site.sql(f"{adhoc}, customdata) VALUES ('core', 'fails', 1, 12, '{{\"fail\": true}}')")
    site.sql(f"{adhoc}) VALUES ('core', 'passes', 1, 12)")
    ended = site.run("cron", "--keep-alive=0")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stdout.count("Execute scheduled task") == 12
    due = "SELECT COUNT(*) FROM mdl_task_scheduled WHERE nextruntime <= lastruntime"
    assert site.sql(due)[0][0] == 0
    assert site.sql("SELECT attemptsavailable, faildelay FROM mdl_task_adhoc") == [(11, 60)]
    assert site.run("checks").returncode == 1
    site.sql("DELETE FROM mdl_task_adhoc")
    assert site.run("checks").returncode == 0
    site.run("cron", "--disable")
    assert site.run("cron", "--keep-alive=0").returncode == 1
    site.run("cron", "--enable")
    site.run("maintenance", "--enable")
    assert site.run("cron", "--keep-alive=0").returncode == 1
    site.run("maintenance", "--disable")
    assert site.run("cron", "--keep-alive=0").returncode == 0


def test_scheduled_tasks_can_be_listed_run_and_switched_off(site: Site) -> None:
    task = "\\core\\task\\cache_cleanup_task"
    assert task in site.run("scheduled_task", "--list").stdout
    assert site.run("scheduled_task", f"--execute={task}").returncode == 0
    assert site.run("scheduled_task", "--execute=\\core\\none").returncode == 1
    assert site.run("scheduled_task", f"--disable={task}").returncode == 0
    assert site.run("scheduled_task", f"--enable={task}").returncode == 0


def test_a_site_under_maintenance_answers_503_on_every_address(site: Site) -> None:
    assert site.run("maintenance", "--enable").returncode == 0
    with site.served() as browser:
        for path in ("/", "/theme/styles.php/boost/1/all"):
            answer = browser.get(path)
            assert (answer.status, answer.headers["Retry-After"]) == (503, "300")
        assert site.run("maintenance", "--disable").returncode == 0
        assert site.run("maintenance", "--enableold").returncode == 0
        assert browser.get("/").status == 503
        browser.log_in(PASSWORD)
        assert browser.get("/").status == 200
    assert site.run("maintenance", "--disable").returncode == 0


def test_a_missing_dataroot_is_a_plain_500(site: Site) -> None:
    moved = site.dataroot.rename(site.dataroot.with_name("elsewhere"))
    try:
        (site.dataroot.parent / "router.php").write_text(ROUTER)
        with site.served() as browser:
            answer = browser.get("/")
        assert answer.status == 500
        assert "dataroot" in answer.text
        assert str(site.dataroot) not in answer.text
        assert site.run("cfg", "--name=version").returncode == 1
    finally:
        moved.rename(site.dataroot)


def test_an_empty_database_is_no_site_and_a_missing_one_an_error(
    engine: tuple[str, PrivateServer], directory: Path
) -> None:
    empty = make_site(engine, directory, "classic", "4.5")
    with empty.served() as browser:
        answer = browser.get("/")
        assert (answer.status, answer.headers["Location"]) == (303, f"{empty.url}/admin/index.php")
        assert browser.get("/admin/index.php").status == 500
        empty.database = "no_such_database"
        empty.write_config()
        assert browser.get("/").status == 500
        assert "no_such_database" not in browser.get("/").text


def test_the_installer_checks_the_environment_and_its_options(
    engine: tuple[str, PrivateServer], directory: Path
) -> None:
    empty = make_site(engine, directory, "classic", "4.5")
    ended = empty.run(
        "install_database",
        "--agree-license",
        "--adminpass=x",
        php=("php", "-d", "max_input_vars=1000"),
    )
    assert ended.returncode == 1
    assert "max_input_vars" in ended.stdout
    assert empty.run("install_database", "--adminpass=x").returncode == 1
    assert empty.run("install_database", "--agree-license").returncode == 1
    assert empty.install(adminemail="none").returncode == 1
    assert empty.install(nothing="none").returncode == 1
    (empty.tree / "config.php").unlink()
    assert empty.install().returncode == 1


def test_an_upgrade_is_found_pending_done_and_survives_a_failure(
    engine: tuple[str, PrivateServer], directory: Path
) -> None:
    site = make_site(engine, directory, "classic", "4.5.0")
    assert site.install().returncode == 0
    assert site.run("upgrade", "--is-pending").returncode == 0
    sandbox.switch_version(site.tree, "4.5.1")
    assert site.run("upgrade", "--is-pending").returncode == 2
    assert site.run("upgrade", "--is-maintenance-required").returncode == 3
    assert site.run("cron", "--keep-alive=0").returncode == 1

    fail = site.tree / "lib" / "db" / "fail_upgrade"
    fail.touch()
    assert site.run("upgrade", "--is-maintenance-required").returncode == 2
    assert site.run("upgrade", "--non-interactive").returncode == 1
    assert site.setting("version") == "2024100700.00"
    fail.write_text("kill")
    assert site.run("upgrade", "--non-interactive").returncode == -9
    with site.served() as browser:
        assert browser.get("/").status == 500
        site.sql("DELETE FROM mdl_config WHERE name = 'upgraderunning'")
        shutil.rmtree(site.dataroot / "cache")
        assert browser.get("/").status == 200
        assert "pending" in browser.get("/admin/index.php").text
        fail.unlink()
        assert site.run("upgrade", "--non-interactive").returncode == 0
        assert "up to date" in browser.get("/admin/index.php").text
    assert site.setting("version") == "2024100701.00"
    assert site.run("upgrade", "--non-interactive").returncode == 0
    sandbox.switch_version(site.tree, "4.5.0")
    assert site.run("upgrade", "--non-interactive").returncode == 1


def test_a_tree_with_a_public_web_root_serves_and_runs_the_same(
    engine: tuple[str, PrivateServer], directory: Path
) -> None:
    site = make_site(engine, directory, "public", "5.1")
    ended = site.install()
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert site.setting("dirroot") == str(site.tree / "public")
    assert site.setting("branch") == "501"
    assert site.run("upgrade", "--is-pending").returncode == 0
    assert site.run("cron", "--keep-alive=0").returncode == 0
    with site.served() as browser:
        assert "<title>Home | school</title>" in browser.get("/").text
        assert browser.log_in(PASSWORD).status == 303
        assert browser.get("/theme/styles.php/boost/1/all").status == 200


def test_the_shared_component_cache_holds_absolute_paths(site: Site) -> None:
    file = site.dataroot.parent / "components.php"
    assert site.run("alternative_component_cache", "--rebuild").returncode == 2
    assert site.run("alternative_component_cache", f"--file={file}").returncode == 0
    assert f"'{site.tree}/mod/label'" in file.read_text()
    site.write_config(f"$CFG->alternative_component_cache = '{file}';")
    try:
        assert site.run("alternative_component_cache", "--rebuild").returncode == 0
        assert site.run("upgrade", "--is-pending").returncode == 0
    finally:
        site.write_config()


def test_the_versions_hash_follows_moodles_rule(site: Site) -> None:
    versions = ["mod_label", "mod_page", "auth_manual", "block_html", "tool_log", "theme_boost"]
    versions.append("logstore_standard")
    parts = ['s:4:"core";d:2024100700;']
    parts += [f's:{len(name)}:"{name}";i:2024100700;' for name in versions]
    text = f"a:{len(parts)}:{{{''.join(parts)}}}"
    expected = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
    assert site.setting("allversionshash") == expected


def test_a_new_site_has_the_rows_every_moodle_has(site: Site) -> None:
    assert site.sql("SELECT id, format, category FROM mdl_course") == [(1, "site", 0)]
    assert site.sql("SELECT id, username FROM mdl_user ORDER BY id") == [(1, "guest"), (2, "admin")]
    assert site.sql("SELECT id, path FROM mdl_context WHERE contextlevel = 10") == [(1, "/1")]
    assert site.sql("SELECT wwwroot FROM mdl_mnet_host ORDER BY id") == [(site.url,), ("",)]
    assert site.sql("SELECT COUNT(*) FROM mdl_role")[0][0] == 8
    (hashed,) = site.sql("SELECT password FROM mdl_user WHERE id = 2")[0]
    assert str(hashed).startswith("$6$rounds=10000$")
