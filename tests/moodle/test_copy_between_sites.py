"""A logo, wording and a table copied between real sites of two engines show on the next request."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.moodle.conftest import SiteUnderTest, World
from tests.web import Page

# The sandbox has neither logos nor language customisation.
pytestmark = [
    pytest.mark.moodle,
    pytest.mark.parametrize("world", ["real"], indirect=True, scope="session"),
]

SCRIPT = "admin/cli/vmoodle_proof.php"
START = """<?php
define('CLI_SCRIPT', true);
require(__DIR__ . '/../../config.php');
require_once($CFG->libdir . '/filelib.php');
\\core\\session\\manager::set_user(get_admin());
"""
LOGO = """
$image = imagecreatetruecolor(400, 100);
imagefill($image, 0, 0, imagecolorallocate($image, 200, 30, 30));
ob_start();
imagepng($image);
get_file_storage()->create_file_from_string(['contextid' => context_system::instance()->id,
    'component' => 'core_admin', 'filearea' => 'logo', 'itemid' => 0, 'filepath' => '/',
    'filename' => "lögo.png"], ob_get_clean());
set_config('logo', "/lögo.png", 'core_admin');
theme_reset_all_caches();
"""
WORDING = """
require_once($CFG->dirroot . '/admin/tool/customlang/locallib.php');
tool_customlang_utils::checkout('en');
$component = $DB->get_field('tool_customlang_components', 'id', ['name' => 'core']);
$where = ['lang' => 'en', 'componentid' => $component, 'stringid' => 'forgotaccount'];
$DB->set_field('tool_customlang', 'local', "Where's my \\\\ \U0001f511?", $where);
$DB->set_field('tool_customlang', 'modified', 1, $where);
tool_customlang_utils::checkin('en');
"""
CHANGED = WORDING.replace("Where's my", "Who has my")
SAID, SAID_THEN = "my \\ \U0001f511?", "Who has my \\ \U0001f511?"
LICENCE = """
$DB->insert_record('license', (object)['shortname' => 'ours', 'source' => null,
    'fullname' => "It's \\\\ %s {x} \U0001f600", 'enabled' => 1,
    'version' => 2026112800, 'custom' => 1, 'sortorder' => 99]);
"""


@dataclass(frozen=True)
class Fleet:
    """A source on MariaDB, targets on both engines, and an administrator's words."""

    world: World
    source: SiteUnderTest
    targets: list[SiteUnderTest]

    @property
    def on(self) -> str:
        return ", ".join(site.shortname for site in self.targets)

    def php(self, site: SiteUnderTest, code: str) -> None:
        """Run PHP in a site, as a script of its tree."""
        home = self.world.fleet.json("codebase", "show", site.codebase)["path"]
        path = Path(home) / SCRIPT
        path.write_text(START + code)
        path.chmod(0o644)
        self.world.fleet.run("exec", site.shortname, "--", SCRIPT)

    def copy(self, *words: str) -> dict[str, Any]:
        document: dict[str, Any] = self.world.fleet.json(
            "copy", *words, "--from", self.source.shortname, "--on", self.on, "--yes"
        )
        return document

    def undo(self, run: str) -> None:
        self.world.fleet.run("run", "undo", run, "--yes")

    def ask(self, sql: str) -> dict[str, Any]:
        names = f"{self.source.shortname}, {self.on}"
        document = self.world.fleet.json("sql", sql, "--on", names)
        return {row["site"]: row["rows"] for row in document["results"]}


def login_page(site: SiteUnderTest) -> Page:
    return site.browser().get("/login/index.php")


def logo_of(site: SiteUnderTest) -> str:
    """Return the address of the logo on the login page, empty for none."""
    found = re.search(r'src="https?://[^/"]+(/pluginfile\.php/[^"]*/core_admin/logo/[^"]*)"',
                      login_page(site).text)  # fmt: skip
    return found[1] if found else ""


@pytest.fixture(scope="module", params=["4.5", "5.1"])
def fleet(request: pytest.FixtureRequest, world: World) -> Iterator[Fleet]:
    sites = [site for site in world.sites if site.codebase == f"moodle{request.param}"]
    source = next(site for site in sites if site.server == "maria")
    targets = [site for site in sites if site.shortname.endswith("2")]
    assert {site.server for site in targets} == {"maria", "postgres"}
    made = Fleet(world, source, targets)
    yield made
    home = world.fleet.json("codebase", "show", source.codebase)["path"]
    (Path(home) / SCRIPT).unlink(missing_ok=True)


def test_a_logo_shows_on_the_next_request_and_goes_with_the_undo(fleet: Fleet) -> None:
    fleet.php(fleet.source, LOGO)
    assert [logo_of(site) for site in fleet.targets] == ["", ""]
    told = fleet.copy("files", "core_admin/logo")
    for site in fleet.targets:
        address = logo_of(site)
        assert address
        page = site.browser().get(address)
        assert (page.status, page.headers["content-type"]) == (200, "image/png")
    fleet.undo(told["run"])
    assert [logo_of(site) for site in fleet.targets] == ["", ""]


def test_wording_shows_on_the_next_request_and_goes_with_the_undo(fleet: Fleet) -> None:
    fleet.php(fleet.source, WORDING)
    before = [login_page(site).text for site in fleet.targets]
    assert not any(SAID in text for text in before)
    first = fleet.copy("language", "--lang", "en")
    for site in fleet.targets:
        assert SAID in login_page(site).text
    # A file that PHP has compiled already is another afterwards.
    fleet.php(fleet.source, CHANGED)
    second = fleet.copy("language", "--component", "core")
    for site in fleet.targets:
        assert SAID_THEN in login_page(site).text
    fleet.undo(second["run"])
    for site in fleet.targets:
        text = login_page(site).text
        assert SAID in text
        assert SAID_THEN not in text
    fleet.undo(first["run"])
    assert not any(SAID in login_page(site).text for site in fleet.targets)


def test_a_copied_table_equals_the_sources(fleet: Fleet) -> None:
    ask = "SELECT * FROM {license} ORDER BY id"
    fleet.php(fleet.source, LICENCE)
    before = fleet.ask(ask)
    source = before.pop(fleet.source.shortname)
    assert all(rows != source for rows in before.values())
    told = fleet.copy("table", "license", "--replace")
    after = fleet.ask(ask)
    assert {json.dumps(rows) for rows in after.values()} == {json.dumps(source)}
    for site in fleet.targets:
        fleet.php(site, LICENCE.replace("'ours'", "'next'"))
        fleet.php(site, "$DB->delete_records('license', ['shortname' => 'next']);")
    fleet.undo(told["run"])
    after = fleet.ask(ask)
    del after[fleet.source.shortname]
    assert after == before
