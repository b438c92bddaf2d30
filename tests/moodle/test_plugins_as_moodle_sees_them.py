"""Plugins on disk and in the database, and orders set by SQL: Moodle itself says the same."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.moodle.running_site import RunningSite, running_site, site_kinds

from vmoodle.engines.protocol import SiteConnection
from vmoodle.moodle.caches.invalidation import Change, invalidate
from vmoodle.moodle.config.settings import parse_setting, set_settings
from vmoodle.moodle.plugins.code import read_plugin_code
from vmoodle.moodle.plugins.order import ORDERS, read_orders, set_order
from vmoodle.moodle.plugins.states import CodeState, read_plugins

pytestmark = pytest.mark.moodle

STATUSES = {
    "uptodate": CodeState.SAME,
    "upgrade": CodeState.UPGRADE,
    "downgrade": CodeState.DOWNGRADE,
    "new": CodeState.NOT_INSTALLED,
    "missing": CodeState.MISSING,
    # Missing, and one of Moodle's own that it no longer brings.
    "delete": CodeState.MISSING,
}
OWN = {"vmnew": None, "vmolder": 2026010100, "vmnewer": 2026010300, "vmsame": 2026010200}
ASK_STATUSES = (
    "$found = []; foreach (core_plugin_manager::instance()->get_plugins() as $type => $list)"
    ' { foreach ($list as $name => $info) { $found["{$type}_{$name}"] = $info->get_status(); } }'
    " echo json_encode($found);"
)
ASK_ORDERS = """
require_once($CFG->dirroot . '/course/lib.php'); require_once($CFG->libdir . '/filterlib.php');
require_once($CFG->libdir . '/questionlib.php'); require_once($CFG->dirroot . '/repository/lib.php');
require_once($CFG->libdir . '/adminlib.php'); require_once($CFG->dirroot . '/mod/assign/adminlib.php');
$assign = fn($kind) => array_values((new assign_plugin_manager($kind))->get_sorted_plugins_list());
echo json_encode([
    'auth' => explode(',', $CFG->auth),
    'enrol' => array_keys(enrol_get_plugins(true)),
    'editor' => array_keys(\\core\\plugininfo\\editor::get_sorted_plugins(true)),
    'filter' => array_keys(array_filter(filter_get_global_states(), fn($f) => $f->active != -9999)),
    'repository' => array_map(fn($type) => $type->get_typename(), repository::get_types()),
    'format' => array_values(get_sorted_course_formats()),
    'qtype' => array_keys(question_bank::sort_qtype_array(
        array_map(fn($type) => $type->local_name(), question_bank::get_all_qtypes()))),
    'qbehaviour' => explode(',', get_config('question', 'behavioursortorder')),
    'assignsubmission' => $assign('assignsubmission'),
    'assignfeedback' => $assign('assignfeedback'),
]);
"""  # noqa: E501


@pytest.fixture(scope="module", params=site_kinds())
def site(request: pytest.FixtureRequest, database_urls: dict[str, str]) -> Iterator[RunningSite]:
    tree: Path
    tree, server = request.param
    with running_site(tree, database_urls[server]) as running:
        local = running.tree.webroot / "local"
        for name in OWN:
            (local / name).mkdir()
            (local / name / "version.php").write_text(
                f"<?php $plugin->component = 'local_{name}'; $plugin->version = 2026010200;"
                " $plugin->requires = 2020010100;"
            )
        yield running
        for name in OWN:
            shutil.rmtree(local / name)


def test_what_is_to_be_done_with_each_plugin_is_what_moodle_says(site: RunningSite) -> None:
    with site.inside() as connection:
        for name, version in {**OWN, "vmgone": 2026010200}.items():
            if version is not None:
                install(connection, name, version)
        found = read_plugins(connection, read_plugin_code(site.tree).versions)
    invalidate(site.place, list(Change))
    moodles = {name: STATUSES[s] for name, s in json.loads(site.run(ASK_STATUSES)).items()}
    assert {name: plugin.code for name, plugin in found.items()} == moodles
    assert [moodles[f"local_{name}"] for name in ("vmnew", "vmolder", "vmnewer", "vmgone")] == [
        CodeState.NOT_INSTALLED, CodeState.UPGRADE, CodeState.DOWNGRADE, CodeState.MISSING
    ]  # fmt: skip


def install(connection: SiteConnection, name: str, version: int) -> None:
    connection.execute(
        "INSERT INTO {config_plugins} (plugin, name, value) VALUES (%s, 'version', %s)",
        (f"local_{name}", str(version)),
    )


def test_an_order_that_was_set_is_moodles_own_in_the_next_process(site: RunningSite) -> None:
    with site.inside() as connection:
        set_settings(connection, {parse_setting("auth"): "ldap,email,db"}, create=True)
        found = read_plugins(connection)
        wanted = {}
        for kind, order in read_orders(connection, ORDERS, found).items():
            names = [name.partition("_")[2] for name in found if name.startswith(f"{kind}_")]
            wanted[kind] = tuple(reversed(order or names))
            set_order(connection, kind, wanted[kind])
    assert invalidate(site.place, [Change.SETTINGS, Change.PLUGIN_STATES]).stale == ()
    moodles = json.loads(site.run(ASK_ORDERS))
    for kind, order in wanted.items():
        # Moodle leaves out what is not on disk, and puts behind it what has no place.
        there = [name for name in moodles[kind] if name in order]
        assert there == [name for name in order if name in moodles[kind]], kind
        assert len(there) > 1, kind
