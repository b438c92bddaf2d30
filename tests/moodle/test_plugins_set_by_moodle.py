"""`vmoodle plugin` on a running Moodle: states by SQL and by Moodle's own code, seen at once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.fixtures import load_fixture
from tests.fleet import Fleet
from tests.moodle.running_site import FIXTURES, RunningSite, running_site, site_kinds
from tests.moodle.test_effect_on_next_request import PASSWORD, PREPARE
from tests.moodle.test_settings_and_baselines import change
from tests.registered import enter
from tests.web import Browser

from vmoodle.engines.protocol import SiteDatabase
from vmoodle.installation import Installation
from vmoodle.secret import generate_password

pytestmark = pytest.mark.moodle

ON = ("--on", "proof")
SMILE = "Smile :-) here."
# What plugininfo's get_enabled_plugin says for a state.
SAID = {"enabled": 1, "disabled": 0, "hidden": 0, "available": -1}
NONE = {"repository": -1, "filter": -9999}
# One of each kind that has states; portfolios and new kinds of repositories take Moodle.
BY_SQL = {
    "mod_folder": "disabled", "block_timeline": "disabled", "message_email": "disabled",
    "filter_tex": "available", "filter_multilang": "enabled", "filter_emoticon": "disabled",
    "repository_upload": "hidden", "qbehaviour_adaptive": "disabled", "qtype_essay": "disabled",
    "auth_email": "enabled", "format_social": "disabled", "editor_textarea": "disabled",
    "enrol_self": "disabled", "assignsubmission_file": "disabled",
    "assignfeedback_comments": "disabled",
}  # fmt: skip
BY_MOODLE = {
    "portfolio_download": "enabled", "repository_flickr": "hidden",
    "repository_url": "enabled", "repository_wikimedia": "disabled",
}  # fmt: skip
ASK = """
$found = [];
foreach (json_decode('{names}') as $component) {{
    [$type, $name] = explode('_', $component, 2);
    $class = core_plugin_manager::resolve_plugininfo_class($type);
    $found[$component] = $class::get_enabled_plugin($name);
}}
echo json_encode($found);
"""
LINKED = """
require_once($CFG->dirroot . '/repository/lib.php');
$repository = $DB->get_field('repository', 'id', ['type' => 'filesystem']);
$instance = $DB->get_record('repository_instances', ['typeid' => $repository], '*', IGNORE_MULTIPLE);
get_file_storage()->create_file_from_reference(['contextid' => context_system::instance()->id,
    'component' => 'proof', 'filearea' => 'proof', 'itemid' => 0, 'filepath' => '/',
    'filename' => 'linked.txt'], $instance->id, 'linked.txt');
"""  # noqa: E501
UNLINKED = "get_file_storage()->delete_area_files(context_system::instance()->id, 'proof');"
INSTANCES = """
require_once($CFG->dirroot . '/repository/lib.php');
\\core\\session\\manager::set_user(get_admin());
\\core\\plugininfo\\repository::enable_plugin('filesystem', 1);
set_config('enablecourseinstances', 1, 'filesystem');
set_config('enableuserinstances', 0, 'filesystem');
foreach ([SITEID, $DB->get_field('course', 'id', ['shortname' => 'Proved'])] as $course) {
    repository::create('filesystem', 0, context_course::instance($course),
        ['name' => "It's of $course", 'fs_path' => "p$course", 'relativefiles' => 0]);
}
"""
TABLES = (
    "SELECT type, visible, sortorder FROM {repository} ORDER BY sortorder",
    "SELECT i.id, r.type, i.name, i.userid, i.contextid, i.username, i.password, i.timecreated,"
    " i.timemodified, i.readonly FROM {repository_instances} i JOIN {repository} r"
    " ON r.id = i.typeid ORDER BY i.id",
    "SELECT instanceid, name, value FROM {repository_instance_config} ORDER BY instanceid, name",
    "SELECT plugin, name, value FROM {config_plugins} WHERE plugin <> 'core' AND name NOT IN"
    " ('scheduledtaskreset', 'lastcron')"
    # Moodle takes no such row, an empty one and 0 for the same, and leaves a 0.
    " AND NOT (name = 'disabled' AND value IN ('', '0')) ORDER BY plugin, name",
    "SELECT name, value FROM {config} WHERE name IN ('auth', 'registerauth', 'texteditors',"
    " 'stringfilters', 'filterall', 'enrol_plugins_enabled') ORDER BY name",
    "SELECT filter, active, sortorder FROM {filter_active} WHERE active <> -9999"
    " ORDER BY contextid, sortorder",
    "SELECT name, visible FROM {modules} ORDER BY name",
    "SELECT name, visible FROM {block} ORDER BY name",
)


@dataclass(frozen=True)
class Proof:
    """A served site and a user who is logged in."""

    site: RunningSite
    url: str
    user: Browser
    course: int

    def says(self, *components: str) -> dict[str, int]:
        """Return what Moodle's own API says of plugins."""
        answer = self.site.run(ASK.format(names=json.dumps(components)))
        return dict(json.loads(answer))

    def give(self, component: str, state: int) -> None:
        """Have Moodle give a plugin a state, whichever it has."""
        kind, _, name = component.partition("_")
        self.site.run(f"\\core\\plugininfo\\{kind}::enable_plugin('{name}', {state});")

    def rows(self) -> list[list[tuple[object, ...]]]:
        with self.site.inside() as connection:
            return [list(connection.query(sql)) for sql in TABLES]

    def shows(self) -> dict[str, bool]:
        """Return what the next requests show: an activity, a block, and what a filter does."""
        login = Browser(self.user.server, self.user.host).get("/login/index.php").text
        assert "Smile" in login
        course = self.user.get(f"/course/view.php?id={self.course}").text
        assert self.user.is_logged_in()
        return {
            # Each course has one, for its news.
            "mod_forum": "modtype_forum" in course,
            "block_timeline": 'data-block="timeline"' in self.user.get("/my/").text,
            "filter_emoticon": SMILE not in login,
        }


@pytest.fixture(scope="module", params=site_kinds())
def proof(request: pytest.FixtureRequest, database_urls: dict[str, str]) -> Iterator[Proof]:
    tree: Path
    tree, server = request.param
    with running_site(tree, database_urls[server]) as site:
        course, _overridden = json.loads(site.run(PREPARE))
        site.run(f"set_config('auth_instructions', '{SMILE}'); {INSTANCES}")
        with site.served() as browser:
            browser.login("prover", PASSWORD)
            yield Proof(site, database_urls[server], browser, course)


@pytest.fixture
def fleet(proof: Proof, installation: Installation, home: Path) -> Fleet:
    site = proof.site
    enter(
        installation, "main", proof.url, site.engine, "proof", site.database,
        code=str(site.tree.root), data=str(site.place.dataroot),
    )  # fmt: skip
    return Fleet(home)


def words(states: dict[str, str]) -> list[str]:
    return [f"{name}={state}" for name, state in states.items()]


def told(fleet: Fleet, *command: str, status: int = 0) -> dict[str, Any]:
    (answer,) = fleet.json(*command, *ON, status=status)["results"]
    return dict(answer)


def states(fleet: Fleet) -> dict[str, str]:
    return {row["plugin"]: row["state"] for row in told(fleet, "plugin", "list")["rows"]}


def expected(wanted: dict[str, str]) -> dict[str, int]:
    return {
        name: NONE.get(name.partition("_")[0], 0) if state == "disabled" else SAID[state]
        for name, state in wanted.items()
    }


@contextmanager
def code(proof: Proof, name: str, text: str) -> Iterator[None]:
    """Give an activity more code; its file may be a link to the tree's own, and is replaced."""
    library = proof.site.tree.webroot / "mod" / name / "lib.php"
    before = library.read_text()
    library.unlink()
    library.write_text(before + text)
    try:
        yield
    finally:
        library.unlink()
        library.write_text(before)


def test_what_is_set_shows_on_the_next_request_and_so_does_its_undo(
    proof: Proof, fleet: Fleet
) -> None:
    before, rows = proof.shows(), proof.rows()
    assert before == dict.fromkeys(before, True)
    wanted = ("mod_forum=disabled", "block_timeline=disabled", "filter_emoticon=available")
    run = change(fleet, "plugin", "set", *wanted, *ON)
    now = proof.shows()
    assert now == dict.fromkeys(now, False)
    assert proof.says("filter_emoticon") == {"filter_emoticon": -1}
    change(fleet, "run", "undo", run)
    assert (proof.shows(), proof.rows()) == (before, rows)


@pytest.mark.parametrize("wanted", [BY_SQL, BY_MOODLE, BY_SQL | BY_MOODLE])
def test_moodle_says_of_every_kind_what_was_set_and_an_undo_gives_all_back(
    proof: Proof, fleet: Fleet, wanted: dict[str, str]
) -> None:
    before, rows, had = states(fleet), proof.rows(), proof.says(*wanted)
    wanted = {name: state for name, state in wanted.items() if before.get(name) != state}
    dry = told(fleet, "plugin", "set", *words(wanted), "--dry-run")
    assert [(row["plugin"], row["new"]) for row in dry["rows"]] == list(wanted.items())
    for row in dry["rows"]:
        by_moodle = "by Moodle's own code" if row["plugin"] in BY_MOODLE else ""
        assert row["note"].startswith(by_moodle) and bool(row["note"]) == bool(by_moodle)
    assert (states(fleet), proof.rows()) == (before, rows)
    run = change(fleet, "plugin", "set", *words(wanted), *ON)
    assert states(fleet) == before | wanted
    assert proof.says(*wanted) == expected(wanted)
    change(fleet, "run", "undo", run)
    assert states(fleet) == before
    assert proof.says(*had) == had
    now = proof.rows()
    assert now == rows


def test_a_kind_of_repository_comes_back_with_its_instances_and_settings(
    proof: Proof, fleet: Fleet
) -> None:
    proof.site.run(INSTANCES)
    rows = proof.rows()
    dry = told(fleet, "plugin", "set", "repository_filesystem=disabled", "--dry-run")
    (row,) = dry["rows"]
    assert "its instances (" in row["note"] and "are deleted" in row["note"]
    run = change(fleet, "plugin", "set", "repository_filesystem=disabled", *ON)
    assert "filesystem" not in {row[0] for row in proof.rows()[0]}
    assert proof.says("repository_filesystem") == {"repository_filesystem": -1}
    change(fleet, "run", "undo", run)
    assert proof.rows() == rows
    assert proof.says("repository_filesystem") == {"repository_filesystem": 1}


def test_a_kind_of_repository_that_files_link_into_is_not_disabled(
    proof: Proof, fleet: Fleet
) -> None:
    proof.site.run(INSTANCES + LINKED)
    rows, command = proof.rows(), ("plugin", "set", "repository_filesystem=disabled")
    try:
        answer = told(fleet, *command, "--dry-run", status=1)
        assert answer["error"]["code"] == "plugin.state.files"
        assert "links into repository_filesystem: 1." in answer["error"]["detail"]
        refused = fleet.problem(*command, "--yes", "--confirm", "proof", *ON)
        assert refused["code"] == "run.trial"
        assert proof.rows() == rows
    finally:
        proof.site.run(UNLINKED)


@pytest.mark.parametrize("says_no", ["return false;", "throw new Exception('Not \"here\".');"])
def test_a_plugin_that_says_no_is_told_and_nothing_is_changed(
    proof: Proof, fleet: Fleet, says_no: str
) -> None:
    proof.give("mod_folder", 0)
    asks = f"\nfunction folder_pre_enable_plugin_actions() {{ set_config('seen', 1); {says_no} }}\n"
    wanted = {"filter_tex": "available", "repository_flickr": "enabled", "mod_folder": "enabled"}
    rows = proof.rows()
    with code(proof, "folder", asks):
        answer = told(
            fleet, "plugin", "set", *words(wanted), "--yes", "--confirm", "proof", status=1
        )
    assert answer["error"]["code"] == "plugin.state.refused"
    assert "mod_folder" in answer["error"]["detail"]
    assert ('Not "here"' in answer["error"]["detail"]) == ("throw" in says_no)
    assert proof.rows() == rows
    assert set(proof.says("filter_tex", "repository_flickr").values()) == {-9999, -1}
    assert proof.site.run("echo json_encode(get_config('core', 'seen'));") == "false"
    proof.give("mod_folder", 1)


def test_what_moodle_set_is_taken_back_where_it_did_not_last(proof: Proof, fleet: Fleet) -> None:
    """A plugin's code goes on after Moodle's transaction, and changes another one's state."""
    proof.site.run(INSTANCES)
    proof.give("mod_folder", 0)
    asks = """
function folder_pre_enable_plugin_actions() {
    register_shutdown_function(function() {
        $GLOBALS['DB']->set_field('modules', 'visible', 1, ['name' => 'page']);
    });
    return true;
}
"""
    rows = proof.rows()
    wanted = {
        "repository_filesystem": "disabled", "mod_folder": "enabled", "mod_page": "disabled",
        "filter_tex": "available", "repository_flickr": "enabled",
    }  # fmt: skip
    with code(proof, "folder", asks):
        answer = told(
            fleet, "plugin", "set", *words(wanted), "--yes", "--confirm", "proof", status=1
        )
    assert answer["error"]["code"] == "plugin.state.unset"
    assert "mod_page disabled" in answer["error"]["detail"]
    now = proof.rows()
    # The order of repositories may be another: only what they are is given back.
    assert sorted(now[0]) != [] and now[1:] == rows[1:]
    assert {row[:2] for row in now[0]} == {row[:2] for row in rows[0]}
    proof.give("mod_folder", 1)


def test_a_sync_has_moodle_enable_and_leaves_what_would_be_deleted(
    proof: Proof, fleet: Fleet, installation: Installation
) -> None:
    database = SiteDatabase("vm_pattern", "vm_pattern", generate_password())
    engine = proof.site.engine
    engine.create_account(database)
    engine.create_database(database)
    try:
        load_fixture(engine, database, FIXTURES[proof.site.tree.version.series])
        enter(
            installation, "main", proof.url, engine, "pattern", database,
            code=str(proof.site.tree.root),
        )  # fmt: skip
        with engine.connect(database, read_only=False) as connection:
            connection.execute(
                "INSERT INTO {portfolio_instance} (plugin, name, visible)"
                " VALUES ('download', 'download', 1)"
            )
            connection.execute("UPDATE {modules} SET visible = 1 WHERE name = 'folder'")
        proof.give("mod_folder", 0)
        before = proof.rows()
        no = "\nfunction folder_pre_enable_plugin_actions() { return false; }\n"
        kinds = ("--type", "mod", "--type", "portfolio", "--type", "repository")
        with code(proof, "folder", no):
            run = change(fleet, "plugin", "sync", "--from", "pattern", *kinds, *ON)
        (answer,) = fleet.json("run", "show", run)["results"]
        notes = {row["plugin"]: row["note"] for row in answer["rows"]}
        assert notes["portfolio_download"] == "by Moodle's own code"
        assert notes["mod_folder"].startswith("left: mod_folder does not let itself be changed")
        assert "instances and settings would be deleted" in notes["repository_filesystem"]
        assert proof.says("portfolio_download", "mod_folder") == {
            "portfolio_download": 1, "mod_folder": 0
        }  # fmt: skip
        change(fleet, "run", "undo", run)
        assert proof.rows() == before
    finally:
        engine.drop_database(database)
        engine.drop_account(database.account)
        proof.give("mod_folder", 1)


def test_what_moodle_set_before_it_ended_badly_is_made_whole(proof: Proof, fleet: Fleet) -> None:
    proof.give("mod_folder", 0)
    asks = """
function folder_pre_enable_plugin_actions() {
    register_shutdown_function(function() { exit(3); });
    return true;
}
"""
    rows = proof.rows()
    wanted = {"mod_folder": "enabled", "repository_flickr": "enabled", "filter_tex": "available"}
    with code(proof, "folder", asks):
        run = change(fleet, "plugin", "set", *words(wanted), *ON)
    assert proof.says(*wanted) == expected(wanted)
    fleet.run("run", "undo", run, "--yes", "--confirm", "proof")
    assert proof.rows() == rows
    proof.give("mod_folder", 1)
