"""The requirements of a release, judged without starting Moodle."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.trees import on_real_trees

from vmoodle.errors import InvalidInput
from vmoodle.moodle.code.environment import Requirements, check, read_requirements, version_tuple
from vmoodle.moodle.code.tree import MoodleTree
from vmoodle.moodle.php.binary import PhpBinary, PhpFacts, find_php

XML = """<?xml version="1.0" encoding="UTF-8"?>
<COMPATIBILITY_MATRIX>
  <MOODLE version="4.4" requires="4.1.2">
    <PHP version="7.4.0" level="required"/>
  </MOODLE>
  <MOODLE version="4.5" requires="4.1.2">
    <DATABASE level="required">
      <VENDOR name="mariadb" version="10.6.7" />
      <VENDOR name="postgres" version="13" />
    </DATABASE>
    <PHP version="8.1.0" level="required">
      <RESTRICT function="restrict_php_version_84" message="m" />
    </PHP>
    <PHP_EXTENSIONS>
      <PHP_EXTENSION name="sodium" level="required"/>
      <PHP_EXTENSION name="exif" level="optional"/>
      <PHP_EXTENSION name="nolevel"/>
    </PHP_EXTENSIONS>
    <PHP_SETTINGS>
      <PHP_SETTING name="memory_limit" value="96M" level="required"/>
      <PHP_SETTING name="opcache.enable" value="1" level="optional"/>
    </PHP_SETTINGS>
    <CUSTOM_CHECKS>
      <CUSTOM_CHECK file="lib/upgradelib.php" function="check_sixtyfour_bits" level="required"/>
      <CUSTOM_CHECK file="lib/upgradelib.php" function="check_max_input_vars" level="optional"/>
    </CUSTOM_CHECKS>
  </MOODLE>
</COMPATIBILITY_MATRIX>
"""

GOOD = PhpFacts(
    version="8.2.36",
    extensions=frozenset({"sodium", "exif", "nolevel"}),
    settings={"memory_limit": "-1", "opcache.enable": "On", "max_input_vars": "10000"},
    bits64=True,
    binary=Path("/usr/bin/php"),
    sapi="cli",
)


@pytest.fixture
def requirements(tmp_path: Path) -> Requirements:
    file = tmp_path / "environment.xml"
    file.write_text(XML, encoding="utf-8")
    return read_requirements(file, "4.5")


def test_a_machine_that_meets_everything_has_no_findings(requirements: Requirements) -> None:
    assert check(requirements, GOOD, ("postgresql", "15.18")) == []


@pytest.mark.parametrize(
    ("change", "level", "subject"),
    [
        ({"version": "8.0.30"}, "required", "php"),
        ({"version": "8.4.1"}, "required", "php"),
        ({"extensions": frozenset({"exif", "nolevel"})}, "required", "php-sodium"),
        ({"extensions": frozenset({"sodium", "nolevel"})}, "recommended", "php-exif"),
        ({"extensions": frozenset({"sodium", "exif"})}, "required", "php-nolevel"),
        ({"settings": GOOD.settings | {"memory_limit": "64M"}}, "required", "memory_limit"),
        ({"settings": GOOD.settings | {"opcache.enable": "0"}}, "recommended", "opcache.enable"),
        ({"settings": GOOD.settings | {"max_input_vars": "1000"}}, "required", "max_input_vars"),
        ({"bits64": False}, "required", "php"),
    ],
)
def test_what_is_not_met_is_found_with_its_level(
    requirements: Requirements, change: dict[str, object], level: str, subject: str
) -> None:
    findings = check(requirements, replace(GOOD, **change))  # type: ignore[arg-type]

    assert [(finding.level, finding.subject) for finding in findings] == [(level, subject)]
    assert findings[0].hint


@pytest.mark.parametrize(
    ("database", "fits"),
    [
        (("mariadb", "10.11.19-MariaDB-0+deb12u1"), True),
        (("mariadb", "5.5.5-10.6.7-MariaDB"), True),
        (("mariadb", "10.6.6-MariaDB"), False),
        (("postgresql", "13.1 (Debian 13.1-1)"), True),
        (("postgresql", "9.6.24"), False),
        (("mysql", "8.4.0"), False),
    ],
)
def test_the_database_is_judged_by_vendor_and_version(
    requirements: Requirements, database: tuple[str, str], fits: bool
) -> None:
    assert (check(requirements, GOOD, database) == []) is fits


@pytest.mark.parametrize(("series", "taken"), [("4.4", "4.4"), ("4.5", "4.5"), ("5.9", "4.5")])
def test_the_nearest_entry_that_is_not_later_counts(
    tmp_path: Path, series: str, taken: str
) -> None:
    file = tmp_path / "environment.xml"
    file.write_text(XML, encoding="utf-8")

    assert read_requirements(file, series).series == taken


@pytest.mark.parametrize(
    "content",
    [
        "no xml",
        "<COMPATIBILITY_MATRIX/>",
        '<!DOCTYPE x [<!ENTITY a "b">]><COMPATIBILITY_MATRIX>&a;</COMPATIBILITY_MATRIX>',
        '<!DOCTYPE x [<!ENTITY a SYSTEM "/etc/passwd">]><COMPATIBILITY_MATRIX>&a;'
        "</COMPATIBILITY_MATRIX>",
    ],
)
def test_a_file_that_is_not_moodles_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "environment.xml"
    file.write_text(content, encoding="utf-8")

    with pytest.raises(InvalidInput) as caught:
        read_requirements(file, "4.5")

    assert caught.value.code == "codebase.environment"


def test_versions_compare_by_number_and_not_by_text() -> None:
    assert version_tuple("10.11.19-MariaDB") > version_tuple("10.6.7")
    assert version_tuple("3.11") > version_tuple("3.9")
    assert version_tuple("15.18 (Debian 15.18-0)") == (15, 18)


@on_real_trees
def test_this_machine_runs_a_real_tree(real_tree: Path) -> None:
    tree = MoodleTree.open(real_tree)
    found = read_requirements(tree.environment_xml, tree.version.series)

    assert found.series == tree.version.series
    assert found.php_version and set(found.databases) >= {"mariadb", "mysql", "postgres"}
    assert "sodium" in found.required_extensions
    assert "check_max_input_vars" in found.custom_checks
    findings = check(found, PhpBinary(find_php()).facts(), ("postgresql", "18.0"))
    assert [finding for finding in findings if finding.level == "required"] == []
