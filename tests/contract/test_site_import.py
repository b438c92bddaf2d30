"""Many sites from one CSV file: each line on its own, settings from the start, no secret told."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from tests.checksums import checksum
from tests.contract.copies import CopyFleet, copies
from tests.contract.existing import make_existing_pair

__all__ = ["copies"]

# Where it makes no difference which engine it is, one is enough.
pytestmark = pytest.mark.parametrize("copies", ["mariadb"], indirect=True)

HEAD = (
    "vhostname;vtemplate;name;shortname;description;vdbtype;vdbhost;vdblogin;vdbpass;vdbname;"
    "vdbpersist;vdbprefix;vdatapath;mnet;services;config_smtphosts;auth_cas|hostname;"
    "admin_password;enabled\n"
)
SECRET = "Own-Passw0rd!"


def written(tmp_path: Path, text: str, mode: int = 0o600) -> str:
    path = tmp_path / "list.csv"
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def listed(copies: CopyFleet) -> list[str]:
    return [row["shortname"] for row in copies.fleet.json("site", "list")]


def imported(copies: CopyFleet, *words: str, status: int = 0) -> dict[str, dict[str, object]]:
    rows = copies.fleet.json("site", "import", *words, status=status)
    return {row["site"]: row for row in rows}


@pytest.fixture(scope="module")
def template(copies: CopyFleet) -> str:
    copies.fleet.run("template", "create", "base", "--from", "first")
    return "base"


def test_lint_and_simulation_change_nothing_and_name_each_bad_line(
    copies: CopyFleet, tmp_path: Path, template: str
) -> None:
    path = written(
        tmp_path,
        HEAD
        + f"http://one.example.test;{template};One;one{';' * 15}\n"
        + f"http://two.example.test;nosuch;Two;two{';' * 15}\n"
        + f"not-a-url;;Three;three{';' * 15}\n"
        + f"http://first.example.test;;Four;four{';' * 15}\n"
        + f"http://ONE.example.test;;Five;five{';' * 15}\n",
    )
    linted = imported(copies, path, "--lint", status=1)
    assert [row["ok"] for row in linted.values()] == [True, True, False, True, True]
    simulated = imported(copies, path, "--simulate", status=1)
    assert [(row["line"], row.get("code")) for row in simulated.values()] == [
        (2, None), (3, "template.unknown"), (4, "site.url.scheme"), (5, "site.url.taken"),
        (6, "site.url.taken"),
    ]  # fmt: skip
    said = "Line 2 takes the address one.example.test already."
    assert simulated["five"]["detail"] == said
    snapshots = written(
        tmp_path, "vhostname\nhttp://first.example.test\nhttp://FIRST.example.test\n"
    )
    once, again = copies.fleet.json("site", "import", snapshots, "--simulate", status=1)
    assert (once["ok"], again["code"]) == (True, "operation.site.busy")
    assert not (copies.fleet.home / "store").exists()
    assert listed(copies) == ["first"]
    assert copies.fleet.json("operation", "list", "--active") == []
    copies.fleet.assert_clean()


def test_sites_are_made_with_their_settings_and_a_bad_line_stops_no_other(
    copies: CopyFleet, tmp_path: Path, template: str
) -> None:
    fleet = copies.fleet
    path = written(
        tmp_path,
        HEAD
        + "# fresh, then from the template\n"
        + f'http://fresh.example.test;;L\'été&#44 "A";fresh;About it{";" * 11}mail.example.org;'
        + f"cas.example.org;{SECRET};1\n"
        + f"http://bad.example.test;nosuch;Bad;bad{';' * 15}\n"
        + f"http://copied.example.test;{template};Copied;copied{';' * 12}h2;c2;;0\n",
        mode=0o644,
    )
    out = tmp_path / "passwords"
    ended = fleet.run("site", "import", path, "--passwords-out", str(out), status=1)
    assert "chmod 600" in ended.stderr
    assert "not used: mnet, services, vdbpersist" in ended.stderr
    assert SECRET not in ended.stdout + ended.stderr
    assert "template.unknown" in ended.stdout
    assert listed(copies) == ["copied", "first", "fresh"]
    name, user, password = out.read_text().strip().split(";")
    assert (name, user) == ("copied", "admin")
    assert password not in ended.stdout + ended.stderr
    for site, host in (("fresh", "mail.example.org"), ("copied", "h2")):
        shown = fleet.run("exec", site, "--", "admin/cli/cfg.php", "--name=smtphosts").stdout
        assert shown.strip() == host
    shown = fleet.run(
        "exec", "copied", "--", "admin/cli/cfg.php", "--component=auth_cas", "--name=hostname"
    ).stdout
    assert shown.strip() == "c2"
    fresh = fleet.json("site", "show", "fresh")
    assert (fresh["name"], fresh["state"]) == ('L\'été; "A"', "enabled")
    assert fleet.json("site", "show", "copied")["state"] == "suspended"
    assert copies.rows(
        copies.database("fresh"), "SELECT summary FROM {course} WHERE category = 0"
    ) == [("About it",)]
    for file in (fleet.home / "log").glob("*"):
        assert SECRET not in file.read_text(errors="replace")
    assert SECRET not in str(fleet.json("operation", "list"))

    # The same list again: what is there is left alone.
    again = imported(copies, path, status=1)
    assert {site: row["outcome"] for site, row in again.items()} == {
        "fresh": "skipped", "bad": "failed", "copied": "skipped"
    }  # fmt: skip
    fleet.assert_clean()


def stored(copies: CopyFleet, column: str, kind: str = "site.deploy") -> list[str]:
    with closing(sqlite3.connect(copies.fleet.home / "registry.sqlite3")) as connection:
        sql = f"SELECT {column} FROM registry_operation WHERE kind = ? ORDER BY created_at"
        return [row[0] for row in connection.execute(sql, (kind,))]


def test_a_site_that_is_not_to_serve_never_stays_live_and_its_settings_are_forgotten(
    copies: CopyFleet, tmp_path: Path, template: str
) -> None:
    fleet = copies.fleet
    path = written(
        tmp_path,
        "shortname;url;template;enabled;auth_ldap|bind_pw\n"
        f"quiet;http://quiet.example.test;{template};0;{SECRET}\n",
    )
    problem = fleet.problem(
        "site", "import", path, "--detach", "--passwords-out", str(tmp_path / "out")
    )
    assert problem["code"] == "site.password.out"
    assert imported(copies, path, "--detach")["quiet"]["outcome"] == "queued"
    # The call that ordered it is over: all that is known of it, the operation knows.
    assert stored(copies, "settings_encrypted")[-1]
    fleet.run("worker", "--until-idle")
    quiet = fleet.json("site", "show", "quiet")
    assert (quiet["state"], quiet["reason"]) == (
        "suspended", "enabled is 0 in the list it came from"
    )  # fmt: skip
    (answer,) = fleet.json("hook", "check", "quiet", status=None)
    assert (answer["ok"], answer["expected"]) == (True, "503")
    assert copies.rows(
        copies.database("quiet"),
        "SELECT value FROM {config_plugins} WHERE plugin = 'auth_ldap' AND name = 'bind_pw'",
    ) == [(SECRET,)]
    assert set(stored(copies, "settings_encrypted")) == {""}
    assert not any("settings" in given for given in stored(copies, "parameters"))
    fleet.run("site", "delete", "quiet", "--purge", "--confirm", "quiet")


def test_existing_moodles_are_adopted_and_sites_snapshotted_by_a_list(
    copies: CopyFleet, tmp_path: Path
) -> None:
    fleet = copies.fleet
    first, second = moodles = make_existing_pair(copies, "listed", "byconfig")
    address = copies.engine.address
    try:
        head = "vhostname;name;shortname;description;vdbhost;vdblogin;vdbpass;vdbname;vdatapath"
        socket = ";socket" if address.socket else ""
        host = f"{address.host}:{address.effective_port}" if not address.socket else "localhost"
        account, secret = second.database.account, second.database.password.reveal()
        path = written(
            tmp_path,
            f"{head}{socket}\n{first.url};x;listed;;{host};{account};{secret};{first.database.name};"
            f"{first.dataroot}" + (f";{address.socket}" if socket else "") + "\n"
            f"http://gone.example.test;x;gone;;{host};{account};{secret};gone;{second.dataroot}"
            + (f";{address.socket}" if socket else "")
            + "\n",
        )
        before = checksum(copies.engine, first.database)
        simulated = imported(copies, path, "--simulate", status=1)
        assert simulated["listed"]["ok"]
        assert simulated["gone"]["code"] == "adopt.database"
        adopted = imported(copies, path, status=1)
        assert [row["outcome"] for row in adopted.values()] == ["adopted", "failed"]
        assert checksum(copies.engine, first.database) == before
        path = written(
            tmp_path, f"shortname,config,server,enabled\nbyconfig,{second.config},main,0\n"
        )
        adopted = imported(copies, path)
        assert fleet.json("site", "show", "byconfig")["state"] == "suspended"
        assert f"database account {account} is also that of listed" in str(adopted["byconfig"])
        path = written(tmp_path, f"vhostname\n{first.url}\nhttp://nobody.example.test\n")
        taken = imported(copies, path, status=1)
        assert [row["outcome"] for row in taken.values()] == ["snapshotted", "failed"]
        assert len(fleet.json("snapshot", "list", "listed")) == 1
    finally:
        for name in ("listed", "byconfig"):
            fleet.run("site", "suspend", name, status=None)
            fleet.run("site", "delete", name, "--purge", "--confirm", name, status=None)
        for moodle in moodles:
            copies.engine.drop_database(moodle.database, if_exists=True)
            shutil.rmtree(moodle.config.parent)
        copies.engine.drop_account(second.database.account, if_exists=True)
    fleet.assert_clean()
