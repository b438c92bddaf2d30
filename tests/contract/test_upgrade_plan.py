"""`vmoodle upgrade plan` on real Moodle databases of both engines, to trees made for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.contract.test_plugins import both, databases, moodles
from tests.contract.test_sql import Mixed
from tests.contract.test_upgrade_pending import write

from vmoodle.sandbox import copy_tree

__all__ = ["both", "databases", "moodles"]

BLOCKED = 8


@pytest.fixture
def target(moodles: Mixed, tmp_path: Path) -> Path:
    """A tree of 5.1 that brings no longer whatever the sites have: it drops them by its list."""
    return add_codebase(moodles, tmp_path / "newer", "newer", "5.1")


def add_codebase(moodles: Mixed, path: Path, name: str, release: str) -> Path:
    from vmoodle.registry.models import Codebase

    root = copy_tree(path, release=release)
    installed = moodles.ask("p1", "SELECT plugin FROM {config_plugins} WHERE name = 'version'")
    listed = root / "lib" / "plugins.json"
    deleted: dict[str, list[str]] = {}
    for (component,) in installed:
        kind, _, plugin = component.partition("_")
        deleted.setdefault(kind, []).append(plugin)
    listed.write_text(json.dumps(json.loads(listed.read_text()) | {"deleted": deleted}))
    for file in (*root.rglob("version.php"),):
        component = _component(file, root)
        if component:
            version = 2099010100 if component in dict.fromkeys(n for (n,) in installed) else 1
            file.write_text(
                f"<?php $plugin->version = {version}; $plugin->component = '{component}';"
            )
    layout = "public" if (root / "public").is_dir() else "classic"
    Codebase.objects.create(
        name=name, path=str(root), layout=layout, version="1", release=f"{release}.0", branch="501"
    )
    return root


def _component(file: Path, root: Path) -> str:
    parts = file.parent.relative_to(root).parts
    parts = parts[1:] if parts[:1] == ("public",) else parts
    kinds = {"mod": "mod", "blocks": "block", "auth": "auth", "theme": "theme", "local": "local"}
    if parts[:2] == ("admin", "tool") and len(parts) == 3:
        return f"tool_{parts[2]}"
    if "store" in parts:
        return f"logstore_{parts[-1]}"
    return f"{kinds[parts[0]]}_{parts[1]}" if len(parts) == 2 and parts[0] in kinds else ""


def plan(fleet: Mixed, *words: str, status: int = 0, to: str = "newer") -> dict[str, Any]:
    document = fleet.fleet.json("upgrade", "plan", "--to", to, "--on", "*", *words, status=status)
    return {row["site"]: row.get("rows", row) for row in document["results"]}


def codes(rows: list[dict[str, Any]], level: str = "blocker") -> dict[str, str]:
    return {row["code"]: row["what"] for row in rows if row["level"] == level}


def put(tree: Path, component: str, source: str) -> None:
    place = tree / "public" / component.replace("_", "/", 1)
    place.mkdir(parents=True, exist_ok=True)
    (place / "version.php").write_text(f"<?php {source}")


def test_what_can_be_upgraded_is_ready_with_path_and_outage(moodles: Mixed, target: Path) -> None:
    write(moodles, "p1", "UPDATE {user} SET auth = %s WHERE username = 'admin'", "mnet")
    try:
        found = plan(moodles)
        for rows in found.values():
            assert not codes(rows)
            told = codes(rows, "plan")
            assert told["ready"] == "4.5.5+ (2024100705.01) to 5.1.0 (2025100600)"
            assert told["path"] == "4.5.5+ → 5.1.0 (newer)"
            assert told["outage"] == "required: the code is at another path"
            assert int(told["bytes"]) > 1_000_000
            assert "mod_forum" not in told
            assert "has no longer" in codes(rows, "warning")["plugin.removed"]
        assert codes(found["p1"], "warning")["mnet.logins"].startswith("1 user(s)")
        assert "mnet.logins" not in codes(found["m1"], "warning")
        shown = moodles.fleet.run("upgrade", "plan", "--to", "newer", "--on", "*").stdout
        headings = "SITES ARE PATH OUTAGE TAKES SITES WHICH"
        assert shown.splitlines()[0].split() == headings.split()
        assert "warning mnet.logins: 1 site(s): p1" in shown
        assert "warning plugin.removed: 2 site(s): all" in shown
    finally:
        write(moodles, "p1", "UPDATE {user} SET auth = %s WHERE username = 'admin'", "manual")
    assert target.is_dir()


def test_plugins_of_a_site_block_it_alone(moodles: Mixed, target: Path) -> None:
    put(target, "local_older", "$plugin->version = 5; $plugin->component = 'local_older';")
    sql = "INSERT INTO {config_plugins} (plugin, name, value) VALUES (%s, 'version', %s)"
    try:
        write(moodles, "p1", sql, "local_shop", "2024010100")
        write(moodles, "m1", sql, "local_older", "6")
        found = plan(moodles, status=BLOCKED)
        assert codes(found["p1"]) == {
            "plugin.missing": "local_shop is installed, and not in the tree."
        }
        assert codes(found["m1"]) == {
            "plugin.downgrade": "local_older is installed as 6; the tree has 5."
        }
        assert codes(found["m1"], "plan")["blocked"]
        accepted = plan(moodles, "--accept", "plugin.missing", status=BLOCKED)
        assert not codes(accepted["p1"])
        assert "plugin.missing" in codes(accepted["p1"], "warning")
    finally:
        for site in ("m1", "p1"):
            write(moodles, site, "DELETE FROM {config_plugins} WHERE plugin LIKE %s", "local\\_%")


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("$plugin->component = 'local_new'; $plugin->version = null;", "plugin.defective"),
        ("$plugin->component = 'local_old'; $plugin->version = 1;", "plugin.defective"),
        (
            "$plugin->component = 'local_new'; $plugin->version = 1; $plugin->requires = "
            "2099010100;",
            "plugin.requires",
        ),
        (
            "$plugin->component = 'local_new'; $plugin->version = 1; $plugin->incompatible = 501;",
            "plugin.incompatible",
        ),
        (
            "$plugin->component = 'local_new'; $plugin->version = 1; "
            "$plugin->dependencies = ['local_none' => ANY_VERSION];",
            "plugin.dependency",
        ),
        (
            "$plugin->component = 'local_new'; $plugin->version = 1; "
            "$plugin->dependencies = ['mod_page' => 2100010100];",
            "plugin.dependency",
        ),
    ],
)
def test_a_plugin_of_the_tree_that_moodle_would_refuse_blocks_all(
    moodles: Mixed, target: Path, source: str, code: str
) -> None:
    put(target, "local_new", source)
    for rows in plan(moodles, status=BLOCKED).values():
        assert list(codes(rows)) == [code]


def test_what_a_plugin_says_it_supports_only_warns(moodles: Mixed, target: Path) -> None:
    put(
        target,
        "local_new",
        "$plugin->component = 'local_new'; $plugin->version = 1; $plugin->supported = [403, 405];"
        "$plugin->dependencies = ['mod_page' => ANY_VERSION];",
    )
    put(target, "local_odd", "$plugin->component = 'local_odd'; $plugin->version = 1 + 1;")
    for rows in plan(moodles).values():
        told = codes(rows, "warning")
        assert "4.3 to 4.5" in told["plugin.supported"]
        assert "local_odd" in told["plugin.unknown"]


def test_the_requirements_of_the_release_block_whom_they_concern(
    moodles: Mixed, target: Path
) -> None:
    xml = target / "public" / "admin" / "environment.xml"
    text = xml.read_text()
    xml.write_text(text.replace('name="postgres" version="15', 'name="postgres" version="99'))
    found = plan(moodles, status=BLOCKED)
    assert "PostgreSQL 99" in codes(found["p1"])["database.version"]
    assert not codes(found["m1"])
    xml.write_text(
        text.replace('<PHP version="8.2.0"', '<PHP version="99.0"').replace(
            'name="gd" level="required"', 'name="nosuch" level="required"'
        )
    )
    for rows in plan(moodles, status=BLOCKED).values():
        assert {"php.version", "php.extension"} <= codes(rows).keys()


def test_a_site_that_is_too_old_is_shown_the_way(
    moodles: Mixed, target: Path, tmp_path: Path
) -> None:
    xml = target / "public" / "admin" / "environment.xml"
    xml.write_text(xml.read_text().replace('requires="4.2.3"', 'requires="5.0"'))
    for rows in plan(moodles, status=BLOCKED).values():
        assert codes(rows)["core.source"] == "Moodle 5.1 takes sites from 5.0 on; it is 4.5.5+."
        assert codes(rows, "plan")["path"] == "none with the codebases there are"
    add_codebase(moodles, tmp_path / "between", "between", "5.0")
    for rows in plan(moodles, status=BLOCKED).values():
        assert codes(rows, "plan")["path"] == "4.5.5+ → 5.0.0 (between) → 5.1.0 (newer)"
        hints = {row["code"]: row["hint"] for row in rows}
        assert hints["core.source"].endswith("--to between")


def test_older_unstable_and_mixed_trees_are_refused(
    moodles: Mixed, target: Path, tmp_path: Path
) -> None:
    add_codebase(moodles, tmp_path / "older", "older", "4.5")
    for rows in plan(moodles, to="older", status=BLOCKED).values():
        assert "core.downgrade" in codes(rows)
    version = target / "public" / "version.php"
    version.write_text(version.read_text().replace("MATURITY_STABLE", "MATURITY_BETA"))
    library = target / "public" / "lib" / "upgradelib.php"
    library.write_text(
        library.read_text() + "\nfunction stale() { $someexamplesofremovedfiles = [\n"
        "// Removed in 5.1.\n'/course/gone.php', '/index.php'];\n"
        "foreach ($someexamplesofremovedfiles as $file) {} }\n"
    )
    for rows in plan(moodles, status=BLOCKED).values():
        assert list(codes(rows)) == ["core.stale", "core.unstable"]
        assert "/index.php" in codes(rows)["core.stale"]


def test_tasks_at_work_and_an_upgrade_under_way_are_told(moodles: Mixed, target: Path) -> None:
    tasks = (
        "UPDATE {task_scheduled} SET timestarted = %s WHERE classname LIKE '%%session_cleanup%%'"
    )
    write(moodles, "m1", tasks, 1700000000)
    write(moodles, "p1", "INSERT INTO {config} (name, value) VALUES ('upgraderunning', %s)",
          "99999999999")  # fmt: skip
    try:
        found = plan(moodles, status=BLOCKED)
        assert codes(found["m1"], "warning")["cron.running"].startswith("1 of its tasks")
        assert "cron.running" not in codes(found["p1"], "warning")
        assert list(codes(found["p1"])) == ["upgrade.running"]
    finally:
        write(moodles, "m1", tasks, None)
        write(moodles, "p1", "DELETE FROM {config} WHERE name = %s", "upgraderunning")
    assert target.is_dir()


def test_bad_words_are_refused_before_a_site_is_asked(moodles: Mixed, target: Path) -> None:
    words = ("upgrade", "plan", "--on", "*", "--to")
    assert moodles.fleet.problem(*words, "none")["code"] == "codebase.unknown"
    wrong = moodles.fleet.problem(*words, "newer", "--accept", "core.downgrade")
    assert wrong["code"] == "upgrade.accept"
    assert moodles.fleet.problem(*words, "")["code"] == "command.parameter"
    (target / "public" / "index.php").unlink()
    found = plan(moodles, status=1)
    assert {row["error"]["code"] for row in found.values()} == {"codebase.notmoodle"}
