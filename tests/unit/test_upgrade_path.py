"""The releases on the way to the one that is wanted, and the words of what is found on it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import vmoodle
from vmoodle.fleet.commands.upgrade_plan import ACCEPTABLE
from vmoodle.fleet.upgrade.estimate import BY_ANOTHER, BY_REHEARSAL, BY_UPGRADES
from vmoodle.moodle.upgrades.path import Stop, can_come_from, find_path, short_release

SOURCE = Path(vmoodle.__file__).parent
PAGE = SOURCE.parent.parent / "docs" / "how-to" / "upgrade-many-sites.md"
M41 = Stop("m41", "4.1.2 (Build: 20230313)", "3.6")
M45 = Stop("m45", "4.5.5+ (Build: 20250613)", "4.1.2")
M45B = Stop("m45b", "4.5.6 (Build: 20250811)", "4.1.2")
M51 = Stop("m51", "5.1+ (Build: 20251017)", "4.2.3")
ALL = (M41, M45, M45B, M51)


def path(release: str, target: Stop, *others: Stop) -> list[str]:
    return [one.name for one in find_path(release, target, others)]


def test_a_site_that_can_come_at_once_does() -> None:
    assert path("4.5.5+ (Build: 20250613)", M51, *ALL) == ["m51"]
    assert path("4.2.3", M51) == ["m51"]


def test_the_fewest_stops_by_the_latest_release_are_taken() -> None:
    assert path("4.1.2", M51, *ALL) == ["m45b", "m51"]
    assert path("3.9.1", M51, *ALL) == ["m41", "m45b", "m51"]


def test_where_the_codebases_do_not_lead_there_is_no_path() -> None:
    assert path("4.1.2", M51, M41, M51) == []
    assert path("3.5", M51, *ALL) == []


def test_a_release_in_development_counts_as_the_one_before() -> None:
    assert not can_come_from("4.2dev (Build: 20230101)", "4.2")
    assert can_come_from("4.2dev (Build: 20230101)", "4.1")
    assert can_come_from("4.5.5+ (Build: 20250613)", "4.5.5")
    assert can_come_from("5.0", "")


@pytest.mark.parametrize(("release", "short"), [("4.5.5+ (Build: 1)", "4.5.5+"), ("", "")])
def test_a_release_is_shortened(release: str, short: str) -> None:
    assert short_release(release) == short


def test_every_code_of_a_finding_is_in_the_docs_and_the_reverse() -> None:
    made = {"php.version", "database.version", "php.extension", "php.setting"}
    made |= {BY_REHEARSAL, BY_ANOTHER, BY_UPGRADES}
    for file in [
        *(SOURCE / "moodle" / "upgrades").glob("*.py"),
        *SOURCE.glob("fleet/upgrade/*.py"),
        *SOURCE.glob("fleet/commands/upgrade_*.py"),
    ]:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in (
                "blocker",
                "warning",
            ):
                made |= {arg.value for arg in node.args[:1] if isinstance(arg, ast.Constant)}
    documented = set[str]()
    for line in PAGE.read_text().splitlines():
        if line.startswith("| `"):
            documented |= set(re.findall(r"`([a-z]+\.[a-z]+)`", line.split("|")[1]))

    assert made == documented
    assert set(ACCEPTABLE) <= made
