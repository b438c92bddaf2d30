"""`vmoodle copy files` between sites of both engines: rows, contents, settings, and back."""

from __future__ import annotations

import hashlib

from tests.contract.copy_sites import CopySites, sites
from tests.contract.test_sql import both, mixed
from tests.disk import fill, small_disk

__all__ = ["both", "mixed", "sites"]

LOGO = b"\x89PNG new"
OLD = b"\x89PNG old"


def test_a_logo_replaces_the_targets_and_comes_back(sites: CopySites) -> None:
    sites.store("m1", "core_admin/logo", "lögo's.png", LOGO, "logo")
    for name in ("m2", "p1"):
        sites.store(name, "core_admin/logo", "old.png", OLD, "logo")
    before = {name: sites.area(name, "core_admin/logo") for name in ("m2", "p1", "p2")}
    told = sites.copy("files", "core_admin/logo", on="*", confirm=True)
    assert "m1" not in told
    changes = {row["file"]: row["change"] for row in told["p1"]["rows"]}
    assert changes == {
        "/lögo's.png": "add", "/old.png": "remove", "setting logo": "set to /lögo's.png"
    }  # fmt: skip
    for number, name in enumerate(("m1", "m2", "p1", "p2"), start=1):
        place = f"/{number}/core_admin/logo/0/lögo's.png"
        row = sites.area(name, "core_admin/logo")[-1]
        assert row[0] == hashlib.sha1(place.encode(), usedforsecurity=False).hexdigest()
        assert row[2:6] == ("lögo's.png", len(LOGO), "image/png", "Ä")
        assert row[6] == (2 if name == "m1" else None)
        assert sites.setting(name, "core_admin", "logo") == "/lögo's.png"
        assert sites.pool_file(name, LOGO).read_bytes() == LOGO
    assert sites.revision("p1", "themerev") > 0
    # Nothing that no row names is taken from the pool.
    assert sites.pool_file("m2", OLD).exists()
    again = sites.copy("files", "core_admin/logo", on="p1")
    assert {row["change"] for row in again["p1"]["rows"]} == {"same"}

    revision = sites.revision("p1", "themerev")
    sites.undo(told["run"])
    assert {name: sites.area(name, "core_admin/logo") for name in before} == before
    assert sites.setting("m2", "core_admin", "logo") == "/old.png"
    assert sites.setting("p2", "core_admin", "logo") is None
    assert sites.revision("p1", "themerev") > revision


def test_what_somebody_changed_since_is_not_taken_back(sites: CopySites) -> None:
    sites.store("m1", "theme_boost/backgroundimage", "new.png", LOGO, "backgroundimage")
    told = sites.copy("files", "theme_boost/backgroundimage", on="m2, p1")
    sites.change("p1", lambda c: c.execute("UPDATE {files} SET contenthash = %s", ("0" * 40,)))
    back = sites.undo(told["run"], status=1)
    assert (back["m2"]["status"], back["p1"]["error"]["code"]) == ("ok", "filearea.changed")
    assert len(sites.area("p1", "theme_boost/backgroundimage")) == 2
    assert sites.area("m2", "theme_boost/backgroundimage") == []


def test_contents_that_went_into_the_trash_are_fetched_from_there(sites: CopySites) -> None:
    sites.store("m1", "core_admin/logo", "new.png", LOGO, "logo")
    sites.store("p1", "core_admin/logo", "old.png", OLD, "logo")
    told = sites.copy("files", "core_admin/logo", on="p1")
    old = sites.pool_file("p1", OLD)
    trash = sites.data / "p1" / "trashdir" / old.relative_to(sites.data / "p1" / "filedir")
    trash.parent.mkdir(parents=True)
    old.rename(trash)
    sites.undo(told["run"])
    assert old.read_bytes() == OLD
    told = sites.copy("files", "core_admin/logo", on="p1")
    old.unlink()
    trash.unlink()
    problem = sites.mixed.fleet.run("run", "undo", told["run"], "--yes", status=None)
    assert "filearea.content" in problem.stderr
    assert sites.setting("p1", "core_admin", "logo") == "/new.png"


def test_what_cannot_be_copied_is_refused_and_changes_nothing(sites: CopySites) -> None:
    def code(area: str, source: str = "m1") -> str:
        words = ("copy", "files", area, "--from", source, "--on", "p1", "--yes")
        return str(sites.mixed.fleet.problem(*words)["code"])

    sites.store("m1", "core_admin/logo", "new.png", LOGO, "logo")
    sites.store("m1", "core_admin/favicon", "icon.png", b"gone", "favicon")
    sites.pool_file("m1", b"gone").unlink()
    sites.store("m1", "core_admin/damaged", "new2.png", b"whole", "damaged")
    sites.pool_file("m1", b"whole").write_bytes(b"other")
    assert code("logo") == "filearea.name"
    assert code("core_admin/logo/../1") == "filearea.name"
    assert code("user/draft") == "filearea.private"
    assert code("core_admin/nothing") == "filearea.empty"
    assert code("core_admin/favicon") == "filearea.content"
    assert code("core_admin/logo", "nobody") == "site.unknown"
    told = sites.copy("files", "core_admin/damaged", on="p1", status=1)
    assert told["p1"]["error"]["code"] == "filedir.damaged"
    sites.change("m1", lambda c: c.execute("UPDATE {files} SET referencefileid = 1"))
    assert code("core_admin/logo") == "filearea.alias"
    assert sites.ask("p1", "SELECT COUNT(*) FROM {files}") == [(0,)]


def test_a_full_disk_leaves_the_target_with_what_it_had(sites: CopySites) -> None:
    from vmoodle.registry.models import Site

    content = b"x" * 300_000
    sites.store("m1", "core_admin/logo", "big.png", content, "logo")
    with small_disk(256_000) as disk:
        Site.objects.filter(shortname="p1").update(dataroot=str(disk))
        fill(disk, leave=50_000)
        told = sites.copy("files", "core_admin/logo", on="p1", status=1)
        assert told["p1"]["error"]["code"] == "filedir.unwritable"
        assert sites.area("p1", "core_admin/logo") == []


def test_a_forced_setting_stays_and_is_told(sites: CopySites) -> None:
    from vmoodle.registry import forced
    from vmoodle.registry.sites import find

    sites.store("m1", "core_admin/logo", "new.png", LOGO, "logo")
    forced.force(forced.Scope(site=find("p1")), "core_admin", "logo", "/own.png")
    told = sites.copy("files", "core_admin/logo", on="p1")
    assert {row["file"]: row["change"] for row in told["p1"]["rows"]}["setting logo"] == "stays"
    assert sites.setting("p1", "core_admin", "logo") is None


def test_a_site_that_is_down_holds_no_other(sites: CopySites) -> None:
    sites.store("m1", "core_admin/logo", "new.png", LOGO, "logo")
    from vmoodle.registry.models import Site

    Site.objects.filter(shortname="p1").update(database="vm_gone")
    told = sites.copy("files", "core_admin/logo", on="p1, p2", status=1)
    assert (told["p2"]["status"], told["p1"]["status"]) == ("ok", "failed")
    assert sites.setting("p2", "core_admin", "logo") == "/new.png"
