"""`vmoodle maintenance` that ends half-way: the site is then what it was before."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.contract.copy_sites import CopySites, sites
from tests.contract.test_sql import both, mixed
from tests.trees import make_tree

__all__ = ["both", "mixed", "sites"]

# As Moodle's own, which takes the page away first, and is stopped before it makes the new one; or
# after that.
CONFIG = """<?php
function enable_cli_maintenance_mode() {{
    $page = {data} . '/' . getenv('VMOODLE_SITE') . '/climaintenance.html';
    @unlink($page);
    touch("$page.gone");
    {then}
    exit(7);
}}
"""
NEW = "file_put_contents($page, 'new');"


@pytest.fixture
def open_sites(sites: CopySites) -> Iterator[CopySites]:
    """The sites, with a code tree and moodledatas that the web account can use."""
    from vmoodle.registry.models import Codebase, Site

    place = Path(tempfile.mkdtemp(prefix="vmt-"))
    place.chmod(0o711)
    made = CopySites(sites.mixed, place / "data")
    Codebase.objects.update(path=str(make_tree(place / "tree")))
    for name in ("m1", "p1"):
        (made.data / name).mkdir(parents=True)
        (made.data / name).chmod(0o777)
        Site.objects.filter(shortname=name).update(dataroot=str(made.data / name))
    yield made
    shutil.rmtree(place)


def fail_half_way(sites: CopySites, then: str = "") -> None:
    config = CONFIG.format(data=json.dumps(str(sites.data)), then=then)
    (sites.data.parent / "tree" / "config.php").write_text(config)


def page(sites: CopySites, site: str) -> Path:
    return sites.data / site / "climaintenance.html"


def settings(sites: CopySites, site: str) -> list[tuple[object, ...]]:
    return sites.ask(site, "SELECT name, value FROM {config} ORDER BY name")


@pytest.mark.parametrize("then", ["", NEW])
def test_a_closed_site_stays_closed_with_its_page_when_a_new_one_fails(
    open_sites: CopySites, then: str
) -> None:
    sites = open_sites
    fail_half_way(sites, then)
    before = {}
    for name in ("m1", "p1"):
        page(sites, name).write_text("old")
        page(sites, name).chmod(0o640)
        before[name] = settings(sites, name)
    told = sites.mixed.fleet.json(
        "maintenance", "on", "--message", "New", "--on", "m1, p1", "--yes", "--confirm", "m1,p1",
        status=1,
    )  # fmt: skip
    assert {row["error"]["code"] for row in told["results"]} == {"script.failed"}
    for name in ("m1", "p1"):
        assert page(sites, name).with_name("climaintenance.html.gone").exists()
        assert page(sites, name).read_text() == "old"
        assert page(sites, name).stat().st_mode & 0o777 == 0o640
        assert settings(sites, name) == before[name]


def test_an_open_site_stays_open_when_its_page_fails(open_sites: CopySites) -> None:
    sites = open_sites
    fail_half_way(sites, NEW)
    before = {name: settings(sites, name) for name in ("m1", "p1")}
    words = ("maintenance", "on", "--on", "m1, p1", "--yes", "--confirm", "m1,p1")
    sites.mixed.fleet.json(*words, status=1)
    assert {name: settings(sites, name) for name in before} == before
    assert not any(page(sites, name).exists() for name in before)
