"""The host map on disk: one file per address, changed whole, and what is wrong with it named."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.hook_tree import site

from vmoodle.errors import Conflict, InvalidInput, Refused, Unavailable
from vmoodle.hook.address import parse_wwwroot
from vmoodle.hook.entry import PROTECTED, PublishedSite, compile_entry
from vmoodle.hook.map import HostMap
from vmoodle.hook.rights import set_rights, wrong_rights

ONE = site("one", "https://one.test")
TWO = site("two", "https://two.test")
BELOW = site("below", "https://one.test/below")

# Loops over a file and counts what it saw; any reading that is not whole ends it with status 1.
_READER = """
import json, sys
path, seen = sys.argv[1], set()
print("ready", flush=True)
while True:
    entry = json.load(open(path, encoding="utf-8"))
    assert len(set(entry["cfg"]["filler"])) == 1, entry["cfg"]["filler"][:80]
    assert len(entry["cfg"]["filler"]) == 20_000
    seen.add(entry["cfg"]["filler"][0])
    if entry["state"] == "suspended":
        break
print(len(seen))
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "map"


@pytest.fixture
def host_map(directory: Path) -> HostMap:
    return HostMap(directory)


def snapshot(directory: Path) -> dict[str, tuple[int, int]]:
    """Return inode and time of change of every file below a directory, without its own links."""
    return {
        str(path.relative_to(directory)): (path.lstat().st_ino, path.lstat().st_mtime_ns)
        for path in directory.rglob("*")
        if not path.is_dir()
    }


def entry_of(path: Path) -> dict[str, Any]:
    entry: dict[str, Any] = json.loads(path.read_text())
    return entry


def test_the_first_publication_writes_one_file_and_one_link(
    host_map: HostMap, directory: Path
) -> None:
    host_map.publish(TWO)
    before = snapshot(directory)
    host_map.publish(ONE)
    after = snapshot(directory)
    assert after.keys() - before.keys() == {"web/one.test.json", "cli/one.json"}
    assert {name: after[name] for name in before} == before
    assert (directory / "cli" / "one.json").resolve() == directory / "web" / "one.test.json"


def test_a_later_publication_touches_one_file(host_map: HostMap, directory: Path) -> None:
    for one in (ONE, TWO, BELOW):
        host_map.publish(one)
    before = snapshot(directory)
    host_map.publish(replace(ONE, state="suspended"))
    after = snapshot(directory)
    assert before.keys() == after.keys()
    assert [name for name in after if after[name] != before[name]] == ["web/one.test.json"]


def test_an_alias_that_stands_is_not_written_again(host_map: HostMap, directory: Path) -> None:
    aliased = replace(ONE, aliases=("old.test", "older.test"))
    host_map.publish(aliased)
    before = snapshot(directory)
    host_map.publish(replace(aliased, retry_after=5))
    after = snapshot(directory)
    assert [name for name in after if after[name] != before[name]] == ["web/one.test.json"]
    assert entry_of(directory / "web" / "old.test.json")["redirect"] == "https://one.test"
    for name, host in (("two", "older.test"), ("one", "old.test"), ("one", "one.test")):
        host_map.withdraw_alias(name, host)
    host_map.withdraw_alias("one", "never.test")
    assert sorted(path.name for path in (directory / "web").iterdir()) == [
        "older.test.json",
        "one.test.json",
    ]


def test_several_sites_are_published_together_or_not_at_all(
    host_map: HostMap, directory: Path
) -> None:
    host_map.publish(ONE)
    before = snapshot(directory)
    bad = replace(BELOW, forced_cfg={"x": float("nan")})
    with pytest.raises(InvalidInput):
        host_map.publish_several([replace(ONE, state="suspended"), TWO, bad])
    assert snapshot(directory) == before
    assert host_map.publish_several([replace(ONE, state="suspended"), TWO]) == 2
    assert sorted(path.name for path in (directory / "web").iterdir()) == [
        "one.test.json",
        "two.test.json",
    ]


def test_files_are_for_owner_and_group_whatever_the_umask(
    host_map: HostMap, directory: Path
) -> None:
    for mask in (0o000, 0o077):
        before = os.umask(mask)
        try:
            host_map.publish(ONE)
        finally:
            os.umask(before)
        assert stat.S_IMODE((directory / "web" / "one.test.json").stat().st_mode) == 0o640
        for part in (directory, directory / "web", directory / "cli"):
            assert stat.S_IMODE(part.stat().st_mode) == 0o750


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files to another group")
def test_the_web_servers_group_is_given_everything(directory: Path) -> None:
    HostMap(directory, 33).publish(ONE)
    for part in (directory, directory / "web", directory / "cli", directory / "web/one.test.json"):
        assert part.stat().st_gid == 33


def test_a_reader_sees_the_old_or_the_new_file_and_never_a_part(
    host_map: HostMap, directory: Path
) -> None:
    def filled(letter: str) -> PublishedSite:
        return replace(ONE, forced_cfg={"filler": letter * 20_000})

    host_map.publish(filled("a"))
    reader = subprocess.Popen(
        [sys.executable, "-c", _READER, str(directory / "web" / "one.test.json")],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert reader.stdout
    assert reader.stdout.readline() == "ready\n"
    for run in range(600):
        host_map.publish(filled("abcdefgh"[run % 8]))
    host_map.publish(replace(filled("z"), state="suspended"))
    seen, _none = reader.communicate(timeout=30)
    assert reader.returncode == 0
    assert int(seen) > 1


def test_a_site_that_is_withdrawn_leaves_nothing_and_a_deleted_one_a_tombstone(
    host_map: HostMap, directory: Path
) -> None:
    host_map.publish(replace(ONE, aliases=("old.test",)))
    host_map.publish(TWO)
    host_map.withdraw("one", ONE.address, aliases=("old.test",), tombstone=True)
    host_map.withdraw("two", TWO.address, tombstone=False)
    assert [path.name for path in (directory / "web").iterdir()] == ["one.test.json"]
    assert entry_of(directory / "web" / "one.test.json") == {"format": 1, "state": "deleted"}
    assert list((directory / "cli").iterdir()) == []
    host_map.withdraw("two", TWO.address, tombstone=False)


def test_a_tombstone_holds_nothing_of_the_site(host_map: HostMap, directory: Path) -> None:
    host_map.publish(ONE)
    host_map.withdraw("one", ONE.address, tombstone=True)
    left = b"".join(path.read_bytes() for path in directory.rglob("*") if path.is_file())
    assert b"password" not in left
    assert b"database" not in left


def test_a_late_withdrawal_does_not_take_the_site_that_has_the_address_now(
    host_map: HostMap, directory: Path
) -> None:
    host_map.publish(ONE)
    host_map.withdraw("one", ONE.address, tombstone=True)
    host_map.publish(replace(TWO, address=ONE.address))
    host_map.withdraw("one", ONE.address, tombstone=True)
    found = host_map.read(ONE.address)
    assert found is not None
    assert found["shortname"] == "two"


def test_an_address_that_another_site_has_is_not_published_over(host_map: HostMap) -> None:
    host_map.publish(ONE)
    with pytest.raises(Conflict):
        host_map.publish(replace(TWO, address=ONE.address))
    with pytest.raises(Conflict):
        host_map.publish(replace(TWO, aliases=("one.test",)))
    assert host_map.read(TWO.address) is None


def test_a_rebuild_removes_what_belongs_to_no_site(host_map: HostMap, directory: Path) -> None:
    host_map.publish(replace(ONE, aliases=("old.test",)))
    host_map.publish(BELOW)
    (directory / "web" / ".left.part").write_text("half")
    count = host_map.publish_all([ONE, TWO], tombstones=["gone.test", "one.test/gone"])
    assert count == 2
    assert sorted(path.name for path in (directory / "web").iterdir()) == [
        "gone.test.json",
        "one.test+gone.json",
        "one.test.json",
        "two.test.json",
    ]
    assert sorted(path.name for path in (directory / "cli").iterdir()) == ["one.json", "two.json"]


def test_what_a_killed_writer_left_is_removed_and_nothing_else(
    host_map: HostMap, directory: Path
) -> None:
    host_map.publish(ONE)
    before = snapshot(directory)
    for name in ("web/.one.test-x1y2z3.json", "cli/.one-x1y2z3.json"):
        (directory / name).write_text("half")
    host_map.sweep()
    assert snapshot(directory) == before


def test_a_rebuild_of_a_map_that_is_right_writes_nothing(
    host_map: HostMap, directory: Path
) -> None:
    host_map.publish_all([ONE, TWO, BELOW], tombstones=["gone.test"])
    before = snapshot(directory)
    host_map.publish_all([ONE, TWO, BELOW], tombstones=["gone.test"])
    assert snapshot(directory) == before


def test_a_site_at_the_address_of_a_deleted_one_wins(host_map: HostMap) -> None:
    host_map.publish_all([ONE], tombstones=["one.test"])
    found = host_map.read(ONE.address)
    assert found is not None
    assert found["state"] == "live"
    assert list(host_map.differences([ONE], tombstones=["one.test"])) == []


DIFFERENCES: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda d: (d / "web/one.test.json").unlink(), "web/one.test.json is missing"),
    "changed": (
        lambda d: (d / "web/one.test.json").write_text("{}"),
        "web/one.test.json is not as",
    ),
    "damaged": (
        lambda d: (d / "web/one.test.json").write_text('{"for'),
        "web/one.test.json is not as",
    ),
    "no alias": (lambda d: (d / "web/old.test.json").unlink(), "web/old.test.json is missing"),
    "no link": (lambda d: (d / "cli/one.json").unlink(), "cli/one.json does not lead"),
    "extra": (lambda d: (d / "web/x.test.json").write_text("{}"), "web/x.test.json belongs to no"),
    "extra link": (
        lambda d: (d / "cli/x.json").symlink_to("../web/one.test.json"),
        "cli/x.json belongs to no",
    ),
    "left over": (lambda d: (d / "web/.x.part").write_text(""), "web/.x.part belongs to no"),
    "no tombstone": (lambda d: (d / "web/gone.test.json").unlink(), "web/gone.test.json is miss"),
    "site for tombstone": (
        lambda d: (d / "web/gone.test.json").write_bytes((d / "web/one.test.json").read_bytes()),
        "web/gone.test.json is not as",
    ),
}


@pytest.mark.parametrize(("spoil", "said"), DIFFERENCES.values(), ids=DIFFERENCES.keys())
def test_each_kind_of_difference_is_named_and_a_rebuild_mends_it(
    host_map: HostMap, directory: Path, spoil: Callable[[Path], object], said: str
) -> None:
    sites = [replace(ONE, aliases=("old.test",)), TWO]
    host_map.publish_all(sites, tombstones=["gone.test"])
    assert list(host_map.differences(sites, tombstones=["gone.test"])) == []
    spoil(directory)
    found = list(host_map.differences(sites, tombstones=["gone.test"]))
    assert len(found) == 1
    assert found[0].startswith(said)
    host_map.publish_all(sites, tombstones=["gone.test"])
    assert list(host_map.differences(sites, tombstones=["gone.test"])) == []


def test_what_an_operation_holds_is_no_difference_however_it_stands(
    host_map: HostMap, directory: Path
) -> None:
    one = replace(ONE, aliases=("old.test",))
    host_map.publish_all([TWO], tombstones=["one.test"])
    words = {"tombstones": ["one.test"], "held": {"one"}}
    assert list(host_map.differences([one, TWO], **words)) == []
    host_map.publish(one)
    assert list(host_map.differences([one, TWO], **words)) == []
    assert list(host_map.differences([TWO], **words)) == []
    assert len(list(host_map.differences([TWO], tombstones=["one.test"]))) == 3
    (directory / "web/two.test.json").unlink()
    assert len(list(host_map.differences([one, TWO], **words))) == 1


@pytest.mark.parametrize("place", [".", "web", "cli", "web/one.test.json", "cli/copy_.json"])
@pytest.mark.parametrize("mode", [0o644, 0o755, 0o600, 0o000])
def test_wrong_rights_are_named_with_their_path_and_set(
    host_map: HostMap, directory: Path, place: str, mode: int
) -> None:
    host_map.publish(ONE)
    host_map.lend(replace(TWO, shortname="copy_"))
    assert list(wrong_rights(directory, None)) == []
    path = directory / place
    path.chmod(mode)
    (wrong,) = wrong_rights(directory, None)
    assert wrong.path == path
    assert str(path) in wrong.command
    set_rights(directory, None)
    assert list(wrong_rights(directory, None)) == []
    assert stat.S_IMODE(path.stat().st_mode) == (0o750 if path.is_dir() else 0o640)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_what_is_anothers_in_the_map_is_given_back(host_map: HostMap, directory: Path) -> None:
    host_map.publish(ONE)
    path = directory / "web/one.test.json"
    os.chown(path, 4321, 4321)
    assert [wrong.path for wrong in wrong_rights(directory, None)] == [path]
    set_rights(directory, 4322)
    assert (path.stat().st_uid, path.stat().st_gid) == (0, 4322)
    assert list(wrong_rights(directory, 4322)) == []


@pytest.mark.parametrize("part", ["map", "map/web", "map/cli"])
def test_a_map_that_cannot_be_written_is_said_to_be_so(tmp_path: Path, part: str) -> None:
    (tmp_path / part).parent.mkdir(exist_ok=True)
    (tmp_path / part).write_text("a file")
    host_map = HostMap(tmp_path / "map")
    for act in (
        lambda: host_map.publish(ONE),
        lambda: host_map.withdraw("one", ONE.address, tombstone=True),
        lambda: host_map.publish_all([ONE]),
    ):
        with pytest.raises(Unavailable) as caught:
            act()
        assert caught.value.code == "map.unwritable"
        assert caught.value.hint


def test_a_write_that_fails_leaves_nothing_beside(host_map: HostMap, directory: Path) -> None:
    host_map.publish(TWO)
    (directory / "web" / "one.test.json").mkdir()
    with pytest.raises(Unavailable):
        host_map.publish(ONE)
    assert sorted(path.name for path in (directory / "web").iterdir()) == [
        "one.test.json",
        "two.test.json",
    ]


def test_the_map_is_not_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "map").mkdir()
    (tmp_path / "map" / "web").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Refused):
        HostMap(tmp_path / "map").publish(ONE)
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.parametrize("name", ["../one", "../web/one", "", ".", "one\n", "ONE", "one\x00"])
def test_a_name_that_leads_out_of_the_map_is_refused(host_map: HostMap, name: str) -> None:
    with pytest.raises(InvalidInput):
        host_map.publish(replace(ONE, shortname=name))
    with pytest.raises(InvalidInput):
        host_map.publish(replace(ONE, aliases=(name,)))
    assert host_map.read(ONE.address) is None


def test_forced_settings_are_merged_when_the_entry_is_made() -> None:
    forced = replace(
        ONE,
        forced_cfg={"debug": 32767, "theme": "boost", "emptytext": ""},
        forced_plugins={"auth_ldap": {"host_url": "ldaps://x"}},
    )
    cfg = compile_entry(forced)["cfg"]
    assert (cfg["debug"], cfg["theme"], cfg["emptytext"]) == (32767, "boost", "")
    assert cfg["forced_plugin_settings"] == {"auth_ldap": {"host_url": "ldaps://x"}}
    assert "forced_plugin_settings" not in compile_entry(ONE)["cfg"]


@pytest.mark.parametrize("name", sorted(PROTECTED))
def test_what_makes_the_site_what_it_is_cannot_be_forced(name: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        compile_entry(replace(ONE, forced_cfg={name: "x"}))
    assert caught.value.code == "forced.protected"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\udc80", {1, 2}, b"x"])
def test_a_value_that_json_cannot_hold_is_refused_and_what_stood_stays(
    host_map: HostMap, directory: Path, value: object
) -> None:
    host_map.publish(ONE)
    before = snapshot(directory)
    with pytest.raises(InvalidInput):
        host_map.publish(replace(ONE, forced_cfg={"x": value}))
    assert snapshot(directory) == before


PREFIXES = ("sessioncookie", "session_redis_prefix", "session_memcached_prefix")


def test_sites_that_share_a_host_or_a_cache_have_prefixes_of_their_own() -> None:
    one, two = (compile_entry(each)["cfg"] for each in (ONE, BELOW))
    for name in PREFIXES:
        assert one[name] != two[name]
        assert one[name].startswith(ONE.session_key)


def test_the_cookie_of_a_site_below_a_path_stays_below_it() -> None:
    assert compile_entry(BELOW)["cfg"]["sessioncookiepath"] == "/below/"
    assert "sessioncookiepath" not in compile_entry(ONE)["cfg"]


def test_sslproxy_is_set_for_https_only() -> None:
    plain = replace(ONE, address=parse_wwwroot("http://one.test"), sslproxy=True)
    assert "sslproxy" not in compile_entry(plain)["cfg"]
    assert "sslproxy" not in compile_entry(ONE)["cfg"]
    assert compile_entry(replace(ONE, sslproxy=True))["cfg"]["sslproxy"] is True


def test_a_published_site_does_not_print_its_password() -> None:
    assert "password-of" not in repr(ONE)
