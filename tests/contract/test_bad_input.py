"""Bad input: a clear error with code and hint, a status that is not 0, and nothing changed."""

from __future__ import annotations

import os
import pwd
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pymysql
import pytest
from tests import servers
from tests.fleet import Fleet

TABLES = ("site", "databaseserver", "codebase", "ledgerentry", "forcedsetting", "deletedaddress")


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    """A fleet on the embedded server with one site at http://first.example.test."""
    directory = Path(tempfile.mkdtemp(prefix="vmoodle-bad-"))
    directory.chmod(0o755)
    made = Fleet(directory / "home")
    made.run("server", "add", "main", "embedded")
    made.run("codebase", "add", "sandbox", "sandbox")
    made.run("site", "create", "first", "--url", "http://first.example.test")
    yield made
    made.assert_clean()
    made.run("stop")
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def unchanged(fleet: Fleet) -> Iterator[Fleet]:
    """The fleet; the test fails when registry, ledger, map, files or databases changed."""
    before = picture(fleet)
    yield fleet
    assert picture(fleet) == before


def picture(fleet: Fleet) -> object:
    files = sorted(
        str(path) for name in ("map", "moodledata", "codebases") for path in
        (fleet.home / name).glob("*" if name != "map" else "**/*")
    )  # fmt: skip
    with closing(sqlite3.connect(fleet.home / "registry.sqlite3")) as registry:
        rows = [registry.execute(f"SELECT * FROM registry_{table}").fetchall() for table in TABLES]
        active = registry.execute(
            "SELECT id FROM registry_operation WHERE state NOT IN ('done', 'reverted')"
        ).fetchall()
    return rows, active, files


BAD_URLS = {
    "ftp://a.example.test": "site.url.scheme",
    "a.example.test": "site.url.scheme",
    "http://": "site.url.host",
    "http://a b.example.test": "site.url.characters",
    "http://-a.example.test": "site.url.host",
    "http://a..b.test": "site.url.host",
    "http://[::1]": "site.url.host",
    "http://999.1.1.1": "site.url.host",
    "http://user:pw@a.example.test": "site.url.parts",
    "http://a.example.test/?q=1": "site.url.parts",
    "http://a.example.test/x/y": "site.url.path",
    "http://a.example.test/../x": "site.url.path",
    "http://a.example.test/Upper": "site.url.path",
    "http://a.example.test:0": "site.url.port",
    "http://a.example.test:99999": "site.url.syntax",
    "http://a.example.test/login": "site.url.segment",
    "http://x' OR 1=1 -- -": "site.url.characters",
    "http://" + "a" * 64 + ".test": "site.url.host",
}


@pytest.mark.parametrize(("url", "code"), BAD_URLS.items(), ids=range(len(BAD_URLS)))
def test_an_unusable_url_is_refused(unchanged: Fleet, url: str, code: str) -> None:
    assert create(unchanged, "second", url)["code"] == code


@pytest.mark.parametrize(
    "url",
    [
        "http://first.example.test",
        "http://FIRST.example.TEST",
        "http://first.example.test:80",
        "http://first.example.test:8080",
        "https://first.example.test",
        "http://first.example.test.",
        "http://first.example.test/",
    ],
)
def test_a_taken_url_is_refused_whatever_its_spelling(unchanged: Fleet, url: str) -> None:
    problem = create(unchanged, "second", url)
    assert problem["code"] == "site.url.taken"
    assert "first" in problem["detail"]


@pytest.mark.parametrize(
    "shortname",
    ["", "UPPER", "with space", "a/b", "../x", "a;b", "a'b", "é", "-a", "a-", "all", "x" * 41,
     "a\nb", "a.b"],
)  # fmt: skip
def test_an_unusable_shortname_is_refused(unchanged: Fleet, shortname: str) -> None:
    ended = unchanged.run(
        "site", "create", "--url", "http://b.example.test", "--", shortname, status=2
    )
    assert "[site.shortname.invalid]" in ended.stderr


def test_a_taken_shortname_is_refused(unchanged: Fleet) -> None:
    assert create(unchanged, "first", "http://b.example.test")["code"] == "site.shortname.taken"


@pytest.mark.parametrize(
    ("option", "value", "code"),
    [
        ("--name", "", "site.name.invalid"),
        ("--name", " ", "site.name.invalid"),
        ("--name", "x" * 255, "site.name.invalid"),
        ("--name", "a\x07b", "site.name.invalid"),
        ("--admin-user", "Admin User", "site.admin.invalid"),
        ("--admin-email", "nobody", "site.email.invalid"),
        ("--label", "novalue", "label.invalid"),
        ("--codebase", "nosuch", "codebase.unknown"),
        ("--server", "nosuch", "server.unknown"),
        ("--admin-password-file", "/nonexistent/file", "secret.unreadable"),
    ],
)
def test_an_unusable_option_is_refused(
    unchanged: Fleet, option: str, value: str, code: str
) -> None:
    assert create(unchanged, "second", "http://b.example.test", option, value)["code"] == code


def test_a_moodledata_directory_that_exists_is_never_taken_over(fleet: Fleet) -> None:
    foreign = fleet.home / "moodledata" / "second"
    foreign.mkdir()
    (foreign / "precious").write_text("data")
    try:
        problem = create(fleet, "second", "http://b.example.test")
        assert problem["code"] == "dataroot.exists"
        assert (foreign / "precious").read_text() == "data"
    finally:
        shutil.rmtree(foreign)


def test_a_symlink_in_the_place_of_moodledata_is_not_followed(fleet: Fleet) -> None:
    target = fleet.home.parent / "elsewhere"
    target.mkdir()
    link = fleet.home / "moodledata" / "second"
    link.symlink_to(target)
    try:
        assert create(fleet, "second", "http://b.example.test")["code"] == "dataroot.exists"
        assert list(target.iterdir()) == []
    finally:
        link.unlink()


def test_a_dataroot_base_that_is_no_plain_path_is_refused(unchanged: Fleet) -> None:
    problem = create(
        unchanged, "second", "http://b.example.test", VMOODLE_SITES__DATAROOT_BASE="../up"
    )
    assert problem["code"] == "dataroot.base"


@pytest.fixture
def base(fleet: Fleet) -> Iterator[Path]:
    """A directory of root's beside the home, where moodledata may go."""
    directory = fleet.home.parent / "base"
    directory.mkdir(mode=0o711)
    yield directory
    shutil.rmtree(directory)


def refused_base(fleet: Fleet, base: Path) -> str:
    """Return the code with which a site in that base is refused; nothing was made there."""
    before = sorted(base.iterdir()) if base.exists() else []
    problem = create(
        fleet, "second", "http://b.example.test", VMOODLE_SITES__DATAROOT_BASE=str(base)
    )
    assert (sorted(base.iterdir()) if base.exists() else []) == before
    return problem["code"]


def test_a_dataroot_base_that_is_a_symlink_is_refused(unchanged: Fleet, base: Path) -> None:
    link = base / "link"
    link.symlink_to(unchanged.home.parent)
    assert refused_base(unchanged, link) == "dataroot.base.link"
    assert refused_base(unchanged, link / "below" / "not-yet-there") == "dataroot.base.link"
    link.unlink()
    link.symlink_to(base / "nowhere")
    assert refused_base(unchanged, link) == "dataroot.base.link"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PHP as another account")
def test_a_dataroot_base_the_web_account_may_change_is_refused(
    unchanged: Fleet, base: Path
) -> None:
    web = pwd.getpwnam("www-data")
    below = base / "below"
    below.mkdir(mode=0o711)
    for owner, group, mode in (
        (web.pw_uid, 0, 0o700), (0, web.pw_gid, 0o770), (0, 0, 0o777), (0, 0, 0o1777)
    ):  # fmt: skip
        os.chown(base, owner, group)
        base.chmod(mode)
        assert refused_base(unchanged, base) == "dataroot.base.writable"
        if mode != 0o1777:
            assert refused_base(unchanged, below) == "dataroot.base.writable"
            assert refused_base(unchanged, base / "not-yet" / "there") == "dataroot.base.writable"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PHP as another account")
def test_doctor_finds_a_dataroot_base_that_the_web_account_took(fleet: Fleet) -> None:
    moodledata = fleet.home / "moodledata"
    os.chown(moodledata, pwd.getpwnam("www-data").pw_uid, -1)
    try:
        findings = fleet.json("doctor", status=1)
        assert [finding["check"] for finding in findings] == ["V040"]
        assert "www-data may change" in findings[0]["message"]
    finally:
        os.chown(moodledata, 0, -1)


def test_a_home_behind_a_symlink_has_its_moodledata_in_the_real_place(fleet: Fleet) -> None:
    link = fleet.home.parent / "link-home"
    link.symlink_to(fleet.home)
    try:
        linked = Fleet(link)
        linked.run("site", "create", "linked", "--url", "http://linked.example.test")
        assert linked.json("site", "show", "linked")["dataroot"].startswith(str(fleet.home))
        linked.run("site", "suspend", "linked")
        linked.run("site", "delete", "linked", "--confirm", "linked", "--purge")
    finally:
        link.unlink()
    fleet.run("hook", "rebuild")


def test_a_tree_that_is_no_moodle_is_refused(unchanged: Fleet) -> None:
    problem = unchanged.problem("codebase", "add", "none", "/usr")
    assert problem["code"] == "codebase.notmoodle"


def test_a_tree_whose_requirements_this_php_fails_is_refused(unchanged: Fleet) -> None:
    tree = demanding_tree(unchanged, "<PHP version=", '<PHP version="99.0" old=')
    problem = unchanged.problem("codebase", "add", "demanding", str(tree))
    assert problem["code"] == "codebase.requirements"
    assert "99.0" in problem["detail"]
    assert not (tree / "config.php").exists()
    shutil.rmtree(tree)


def demanding_tree(fleet: Fleet, old: str, new: str) -> Path:
    from vmoodle.sandbox import copy_tree

    tree = fleet.home.parent / "demanding"
    copy_tree(tree)
    path = tree / "admin" / "environment.xml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return tree


def test_a_foreign_config_php_is_kept_and_put_back(fleet: Fleet) -> None:
    from vmoodle.sandbox import copy_tree

    tree = fleet.home.parent / "foreign"
    copy_tree(tree)
    (tree / "config.php").write_text("<?php // precious\n")
    fleet.run("codebase", "add", "foreign", str(tree))
    kept = Path(fleet.json("codebase", "show", "foreign")["set_aside"])
    assert kept.read_text() == "<?php // precious\n"
    fleet.run("codebase", "remove", "foreign")
    assert (tree / "config.php").read_text() == "<?php // precious\n"
    shutil.rmtree(tree)


def test_a_tree_of_another_home_is_left_to_it(unchanged: Fleet) -> None:
    tree = unchanged.json("codebase", "show", "sandbox")["path"]
    other = Fleet(unchanged.home.parent / "other-home")
    assert other.problem("codebase", "add", "stolen", tree)["code"] == "codebase.config.other"


def test_a_config_php_set_aside_by_a_killed_call_is_still_put_back(fleet: Fleet) -> None:
    from vmoodle.sandbox import copy_tree

    tree = fleet.home.parent / "killed"
    copy_tree(tree)
    (tree / "config.php").write_text("<?php // precious\n")
    fleet.run("codebase", "add", "killed", str(tree))
    with closing(sqlite3.connect(fleet.home / "registry.sqlite3")) as registry:
        registry.execute("DELETE FROM registry_codebase WHERE name = 'killed'")
        registry.commit()
    fleet.run("codebase", "add", "killed", str(tree))
    fleet.run("codebase", "remove", "killed")
    assert (tree / "config.php").read_text() == "<?php // precious\n"
    shutil.rmtree(tree)


def test_a_server_that_is_down_is_named_and_nothing_is_made(unchanged: Fleet) -> None:
    url = f"postgresql://a@127.0.0.1:{servers.free_port()}"
    assert unchanged.problem("server", "add", "down", url)["code"] == "engine.connect"


def test_an_account_without_rights_is_told_the_missing_grant(unchanged: Fleet) -> None:
    servers.require("mariadb")
    with servers.private_mariadb(unchanged.home.parent / "weak") as server:
        port = server.address.port
        with (
            pymysql.connect(
                host="127.0.0.1", port=port, user=server.address.user,
                password=server.address.password.reveal(),
            ) as administrator,
            administrator.cursor() as cursor,
        ):  # fmt: skip
            cursor.execute("CREATE USER weak IDENTIFIED BY 'weak-password'")
        problem = unchanged.problem(
            "server", "add", "weak", f"mariadb://weak:weak-password@127.0.0.1:{port}"
        )
        assert problem["code"] == "server.grants"
        assert "CREATE USER" in problem["detail"]
        assert "GRANT" in problem["hint"]
        assert "weak-password" not in str(problem)


def test_a_grant_on_a_pattern_is_judged_by_the_configured_prefix(unchanged: Fleet) -> None:
    servers.require("mariadb")
    with servers.private_mariadb(unchanged.home.parent / "pattern") as server:
        address = server.address
        with (
            pymysql.connect(
                host="127.0.0.1", port=address.port, user=address.user,
                password=address.password.reveal(),
            ) as administrator,
            administrator.cursor() as cursor,
        ):  # fmt: skip
            cursor.execute("CREATE USER schools IDENTIFIED BY 'schools-password'")
            cursor.execute("GRANT CREATE USER ON *.* TO schools")
            cursor.execute("GRANT SELECT ON mysql.user TO schools")
            cursor.execute("GRANT ALL PRIVILEGES ON `school\\_%`.* TO schools WITH GRANT OPTION")
        url = f"mariadb://schools:schools-password@127.0.0.1:{address.port}"
        assert unchanged.problem("server", "add", "schools", url)["code"] == "server.grants"
        school = {"VMOODLE_SITES__DATABASE_PREFIX": "school_"}
        unchanged.run("server", "add", "schools", url, **school)
        unchanged.run("server", "check", "schools", **school)
        assert unchanged.problem("server", "check", "schools")["code"] == "server.grants"
        unchanged.run("server", "remove", "schools")


def test_a_protected_setting_cannot_be_forced(unchanged: Fleet) -> None:
    for name in ("dbpass", "wwwroot", "core/dataroot", "behat_wwwroot"):
        ended = unchanged.run("forced", "set", name, "x", status=2)
        assert "[forced.protected]" in ended.stderr


def test_a_script_outside_the_tree_is_refused(unchanged: Fleet) -> None:
    for script in ("/etc/passwd", "../../x.php", "admin/cli/nosuch.php", "config.php/../x"):
        ended = unchanged.run("exec", "first", "--", script, status=2)
        assert "[exec.script]" in ended.stderr


def test_exec_on_all_goes_on_past_a_codebase_that_cannot_be_read(fleet: Fleet) -> None:
    fleet.run("codebase", "add", "broken", "sandbox")
    address = ("--url", "http://a-broken.example.test", "--codebase", "broken")
    fleet.run("site", "create", "a-broken", *address)
    version = Path(fleet.json("codebase", "show", "broken")["path"]) / "version.php"
    aside = version.rename(version.with_suffix(".aside"))
    script = ("--", "admin/cli/cfg.php", "--name=version")
    try:
        ended = fleet.run("exec", "--all", *script, status=2)
        assert "a-broken: " in ended.stdout
        assert "is not a Moodle code tree" in ended.stdout
        broken, first = fleet.json("exec", "--all", *script, status=2)
        assert (broken["site"], broken["error"]) == ("a-broken", "codebase.notmoodle")
        assert (first["site"], first["exit_status"], first["error"]) == ("first", 0, "")
        assert first["output"].startswith("20")
    finally:
        aside.rename(version)
    one = fleet.json("exec", "first", *script)
    assert (one["exit_status"], one["output"]) == (0, first["output"])
    fleet.run("site", "suspend", "a-broken")
    fleet.run("site", "delete", "a-broken", "--confirm", "a-broken", "--purge")
    fleet.run("codebase", "remove", "broken")


def test_an_enabled_site_is_not_deleted(unchanged: Fleet) -> None:
    problem = unchanged.problem("site", "delete", "first", "--confirm", "first", "--purge")
    assert problem["code"] == "site.enabled"


def test_a_failed_installation_leaves_nothing_and_says_why(unchanged: Fleet) -> None:
    tree = Path(unchanged.json("codebase", "show", "sandbox")["path"])
    script = tree / "admin" / "cli" / "install_database.php"
    original = script.read_text()
    script.write_text('<?php echo "the disk is on fire\\n"; exit(1);\n')
    try:
        problem = create(unchanged, "second", "http://b.example.test", status=1)
    finally:
        script.write_text(original)
    assert problem["code"] == "install.failed"
    assert "the disk is on fire" in problem["detail"]


def create(
    fleet: Fleet, shortname: str, url: str, *options: str, status: int | None = None, **more: str
) -> dict[str, str]:
    out = ["--admin-password-out", str(fleet.home.parent / "never-written")]
    if "--admin-password-file" in options:
        out = []
    return fleet.problem(
        "site", "create", shortname, "--url", url, *out, *options, failed=status == 1, **more
    )
