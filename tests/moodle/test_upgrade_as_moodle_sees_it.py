"""What is said of pending upgrades without PHP, beside what a real Moodle says and writes."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.moodle.running_site import FIXTURES, RunningSite, running_site
from tests.trees import real_trees

from vmoodle.moodle.code.tree import MoodleTree
from vmoodle.moodle.code.versions import all_components_hash, all_versions_hash
from vmoodle.moodle.database.site_schema import core_settings
from vmoodle.moodle.plugins.states import CodeState
from vmoodle.moodle.upgrades.code import UpgradeCode, read_upgrade_code
from vmoodle.moodle.upgrades.pending import Pending, drift, pending
from vmoodle.moodle.upgrades.site_checks import outage
from vmoodle.moodle.upgrades.state import SiteVersions, read_site_versions

pytestmark = pytest.mark.moodle
VERSION = "<?php $plugin->component = 'local_vmproof'; $plugin->version = {};"


def kinds() -> list[Any]:
    """Return each real tree with an engine: both for the newest, by turns for the others."""
    trees = [path for path in real_trees() if MoodleTree.open(path).version.series in FIXTURES]
    pairs = [(path, ("maria", "postgres")[n % 2]) for n, path in enumerate(trees)]
    if trees:
        pairs.append((trees[-1], ("maria", "postgres")[len(trees) % 2]))
    return [pytest.param(pair, id=f"{pair[0].name}-{pair[1]}") for pair in pairs] or [
        pytest.param(None, marks=pytest.mark.skip("no real Moodle tree (VMOODLE_MOODLE_TREES)"))
    ]


@pytest.fixture(params=kinds())
def site(request: pytest.FixtureRequest, database_urls: dict[str, str]) -> Iterator[RunningSite]:
    tree, server = request.param
    with running_site(tree, database_urls[server]) as made:
        yield made


def asked(site: RunningSite, *words: str) -> int:
    """Return the exit status of Moodle's own upgrade."""
    script = str(site.tree.root / "admin" / "cli" / "upgrade.php")
    argv, environ = site.php.command([script, *words])
    return subprocess.run(argv, env=environ, capture_output=True, check=False).returncode


def upgrade(site: RunningSite) -> None:
    """Let Moodle upgrade the site, and compare both hashes that it writes with ours."""
    assert asked(site, "--non-interactive") == 0
    with site.inside() as connection:
        found = core_settings(connection, "allversionshash", "allcomponenthash")
    assert found["allversionshash"] == all_versions_hash(site.tree)
    assert found["allcomponenthash"] == all_components_hash(site.tree)


def told(site: RunningSite) -> tuple[SiteVersions, UpgradeCode]:
    with site.inside() as connection:
        return read_site_versions(connection), read_upgrade_code(MoodleTree.open(site.tree.root))


@contextmanager
def plugin(site: RunningSite) -> Iterator[Path]:
    """Put a plugin into the tree, which tests share; it is gone afterwards."""
    place = site.tree.webroot / "local" / "vmproof"
    (place / "lang" / "en").mkdir(parents=True)
    (place / "lang" / "en" / "local_vmproof.php").write_text(
        "<?php $string['pluginname'] = 'Proof';"
    )
    (place / "version.php").write_text(VERSION.format(2024010100))
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def test_pending_and_outage_are_said_as_moodle_says_them(site: RunningSite) -> None:
    versions, code = told(site)
    newer = versions.version != code.tree.version.version
    state = pending(versions, code)
    assert state is (Pending.VERSION if newer else Pending.NO)
    assert asked(site, "--is-pending") == (2 if newer else 0)
    with plugin(site) as place:
        versions, code = told(site)
        assert pending(versions, code) is (Pending.VERSION if newer else Pending.PLUGINS)
        assert asked(site, "--is-pending") == 2
        own = [one for one in drift(versions, code) if not one.standard]
        assert [(one.component, one.what) for one in own] == [
            ("local_vmproof", CodeState.NOT_INSTALLED)
        ]
        upgrade(site)
        versions, code = told(site)
        assert pending(versions, code) is Pending.NO
        assert not list(drift(versions, code))
        assert asked(site, "--is-pending") == 0

        (place / "version.php").write_text(VERSION.format(2024010101))
        versions, code = told(site)
        assert pending(versions, code) is Pending.PLUGINS
        assert outage(versions, code, same_path=True) == "not required"
        assert asked(site, "--is-maintenance-required") == 3

        (place / "db").mkdir()
        (place / "db" / "tasks.php").write_text("<?php $tasks = [];")
        versions, code = told(site)
        assert outage(versions, code, same_path=True).startswith("required: definitions")
        assert asked(site, "--is-maintenance-required") == 2

        (place / "version.php").write_text(VERSION.format(2024010099))
        versions, code = told(site)
        assert [one.what for one in drift(versions, code)] == [CodeState.DOWNGRADE]
        assert pending(versions, code) is Pending.PLUGINS
        assert asked(site, "--non-interactive") == 1
    versions, code = told(site)
    assert [one.what for one in drift(versions, code)] == [CodeState.MISSING]
    assert asked(site, "--is-pending") == 2
