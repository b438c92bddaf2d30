"""`vmoodle config` and `vmoodle baseline` on a running Moodle: seen by its very next request."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.fleet import Fleet
from tests.moodle.running_site import RunningSite, running_site, site_kinds
from tests.moodle.test_effect_on_next_request import PASSWORD, PREPARE
from tests.registered import enter
from tests.web import Browser

from vmoodle.installation import Installation

pytestmark = pytest.mark.moodle

BASELINE = """
version: 1
name: proof
settings: {forcelogin: 1, theme_boost/brandcolor: "#123456"}
roles:
  - shortname: user
    beyond: keep
    permissions: {moodle/user:editownprofile: inherit}
plugins: {mod_folder: disabled}
"""
LISTED = "echo json_encode(core_plugin_manager::instance()->get_enabled_plugins('{kind}'));"


@dataclass(frozen=True)
class Proof:
    """A served site and a user who is logged in."""

    site: RunningSite
    url: str
    user: Browser

    def is_sent_to_login(self) -> bool:
        page = Browser(self.user.server, self.user.host).get("/", follow=False)
        return "/login/index.php" in page.headers.get("location", "")

    def edits_own_profile(self) -> bool:
        page = self.user.get("/user/edit.php")
        assert self.user.is_logged_in()
        return page.status == 200 and 'data-rel="fatalerror"' not in page.text

    def styles(self) -> str:
        """Return the address of the styles, in which their revision is."""
        text = Browser(self.user.server, self.user.host).get("/login/index.php").text
        found = re.search(r"/theme/styles\.php[^\"']*", text)
        assert found, text[:2000]
        return html.unescape(found[0])

    def has_activity(self, name: str) -> bool:
        return name in json.loads(self.site.run(LISTED.format(kind="mod")))

    def setting(self, component: str, name: str) -> Any:
        return json.loads(self.site.run(f"echo json_encode(get_config('{component}', '{name}'));"))


@pytest.fixture(scope="module", params=site_kinds())
def proof(request: pytest.FixtureRequest, database_urls: dict[str, str]) -> Iterator[Proof]:
    tree: Path
    tree, server = request.param
    with running_site(tree, database_urls[server]) as site:
        site.run(PREPARE)
        with site.served() as browser:
            browser.login("prover", PASSWORD)
            yield Proof(site, database_urls[server], browser)


@pytest.fixture
def fleet(proof: Proof, installation: Installation, home: Path) -> Fleet:
    site = proof.site
    enter(
        installation, "main", proof.url, site.engine, "proof", site.database,
        code=str(site.tree.root), data=str(site.place.dataroot),
    )  # fmt: skip
    return Fleet(home)


def change(fleet: Fleet, *words: str) -> str:
    """Change the one site of the fleet, which is all of it; return the run."""
    problem = fleet.problem(*words)
    phrase = problem["hint"].split("--confirm ")[1].split(". ")[0]
    document = fleet.json(*words, "--confirm", phrase)
    assert document["summary"]["ok"] == 1, document
    (result,) = document["results"]
    assert not [row for row in result["rows"] if "cache" in row["note"]]
    return str(document["run"])


def test_a_setting_shows_on_the_next_request_and_so_does_its_undo(
    proof: Proof, fleet: Fleet
) -> None:
    assert not proof.is_sent_to_login()
    run = change(fleet, "config", "set", "forcelogin=1", "quiz/timelimit=77", "--on", "proof")
    assert proof.is_sent_to_login()
    assert proof.setting("quiz", "timelimit") == "77"
    change(fleet, "config", "unset", "quiz/timelimit", "--on", "proof")
    assert proof.setting("quiz", "timelimit") is False
    change(fleet, "config", "set", "quiz/timelimit=77", "--new", "--on", "proof")
    change(fleet, "run", "undo", run)
    assert not proof.is_sent_to_login()
    assert proof.setting("quiz", "timelimit") == "0"


def test_a_themes_setting_has_browsers_ask_for_its_styles_anew(proof: Proof, fleet: Fleet) -> None:
    before = proof.styles()
    setting = f"theme_{proof.setting('core', 'theme')}/brandcolor"
    run = change(fleet, "config", "set", f"{setting}=#abcdef", "--on", "proof")
    after = proof.styles()
    assert before != after
    assert "#abcdef" in Browser(proof.user.server, proof.user.host).get(after).text
    change(fleet, "run", "undo", run)
    assert proof.styles() not in (before, after)


def test_a_baseline_shows_on_the_next_request_and_so_does_its_undo(
    proof: Proof, fleet: Fleet, tmp_path: Path
) -> None:
    path = tmp_path / "baseline.yml"
    path.write_text(BASELINE)
    words = ("baseline", "drift", str(path), "--on", "proof")
    fleet.run(*words, status=8)
    assert not proof.is_sent_to_login()
    assert proof.edits_own_profile()
    assert proof.has_activity("folder")

    change(fleet, "baseline", "apply", str(path), "--on", "proof")
    fleet.run(*words)
    assert proof.is_sent_to_login()
    assert not proof.edits_own_profile()
    assert not proof.has_activity("folder")

    proof.site.run("set_config('forcelogin', 0);")
    drifted = fleet.json(*words, status=8)["results"][0]["rows"]
    assert [(row["name"], row["is"], row["should_be"]) for row in drifted] == [
        ("forcelogin", "0", "1")
    ]
    proof.site.run("set_config('forcelogin', 1);")
    change(fleet, "baseline", "undo", str(path), "--on", "proof")
    assert not proof.is_sent_to_login()
    assert proof.edits_own_profile()
    assert proof.has_activity("folder")
