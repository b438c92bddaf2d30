"""What a Moodle release requires of PHP and the database, read from its admin/environment.xml."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from xml.etree import ElementTree
from xml.parsers import expat

from vmoodle.errors import InvalidInput

if TYPE_CHECKING:
    from vmoodle.moodle.php.binary import PhpFacts

Level = Literal["required", "recommended"]

MAX_INPUT_VARS = 5000  # check_max_input_vars in lib/upgradelib.php, 3.11 to 5.1

# The vendor names of environment.xml, by the names servers and engines go by.
_VENDORS = {
    "postgresql": "postgres",
    "postgres": "postgres",
    "mysql": "mysql",
    "mariadb": "mariadb",
}
_TITLES = {"postgres": "PostgreSQL", "mysql": "MySQL", "mariadb": "MariaDB"}
_FALSE = frozenset(("", "0", "off", "no", "false", "none"))
_SIZES = {"k": 2**10, "m": 2**20, "g": 2**30}

# PHP's name of an extension, where the Debian package is called otherwise.
_PACKAGES = {"simplexml": "xml", "dom": "xml", "xmlreader": "xml", "zend opcache": "opcache"}


@dataclass(frozen=True)
class SettingRequirement:
    """A PHP setting, the value it must have (or reach, for memory_limit), and how badly."""

    value: str
    level: Level


@dataclass(frozen=True)
class Requirements:
    """The requirements of one series; versions are texts, an empty one asks for nothing.

    `unsupported_php` is the first PHP version the series does not run on, `source` the oldest
    Moodle it can be upgraded from, `custom_checks` the names of the PHP functions that it runs.
    """

    series: str
    source: str = ""
    php_version: str = ""
    unsupported_php: str = ""
    databases: dict[str, str] = field(default_factory=dict)
    required_extensions: tuple[str, ...] = ()
    optional_extensions: tuple[str, ...] = ()
    php_settings: dict[str, SettingRequirement] = field(default_factory=dict)
    custom_checks: dict[str, Level] = field(default_factory=dict)


@dataclass(frozen=True)
class Finding:
    """One requirement that is not met; a `required` one keeps Moodle from being installed."""

    level: Level
    subject: str
    message: str
    hint: str = ""


def read_requirements(path: Path, series: str) -> Requirements:
    """Return the requirements of a series, or of the nearest one below it as Moodle does.

    Raise InvalidInput `codebase.environment` when the file is missing, is not what Moodle ships
    or declares entities. Source: get_latest_version_available() in lib/environmentlib.php, 4.5.
    """
    chosen = None
    for entry in _parse(path).findall("MOODLE"):
        named = entry.get("version", "")
        if named == series:
            chosen = entry
            break
        if version_tuple(named) < version_tuple(series):
            chosen = entry
    if chosen is None:
        raise _unusable(path, f"has no entry for Moodle {series} or an earlier one")
    return _requirements(chosen)


def check(
    requirements: Requirements, php: PhpFacts, database: tuple[str, str] | None = None
) -> list[Finding]:
    """Return which requirements this PHP and database (vendor, version) do not meet.

    The settings are those VMoodle runs PHP's command line with. Checks that need an installed
    site, such as those of its tables, are not made.
    """
    findings = [*_check_php(requirements, php), *_check_extensions(requirements, php)]
    findings += [*_check_settings(requirements, php), *_check_custom(requirements, php)]
    if database is not None:
        findings += _check_database(requirements, *database)
    return findings


def version_tuple(text: str) -> tuple[int, ...]:
    """Return a version's leading numbers for comparing (normalize_version, lib/environmentlib.php).

    `5.5.5-10.11.19-MariaDB` is how MariaDB poses as MySQL to old clients: it is 10.11.19.
    """
    first = text.strip().partition(" ")[0].removeprefix("5.5.5-")
    match = re.match(r"\D*(\d+(?:\.\d+)*)", first)
    return tuple(int(part) for part in match.group(1).split(".")) if match else ()


def _parse(path: Path) -> ElementTree.Element:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise _unusable(path, f"cannot be read: {error.strerror}") from error
    try:
        _refuse_entities(path, content)
        return ElementTree.fromstring(content)  # noqa: S314  entities were refused above
    except (ElementTree.ParseError, expat.ExpatError, ValueError) as error:
        raise _unusable(path, "is not well-formed XML") from error


def _refuse_entities(path: Path, content: bytes) -> None:
    """Refuse a file that declares entities before ElementTree expands them."""

    def refuse(*_declaration: object) -> None:
        raise _unusable(path, "declares XML entities, which Moodle's own does not")

    parser = expat.ParserCreate()
    parser.EntityDeclHandler = refuse
    parser.Parse(content, True)


def _requirements(entry: ElementTree.Element) -> Requirements:
    php = entry.find("PHP")
    restriction = entry.find("PHP/RESTRICT")
    extensions = [(item.get("name", ""), _level(item)) for item in entry.iter("PHP_EXTENSION")]
    return Requirements(
        series=entry.get("version", ""),
        source=entry.get("requires", ""),
        php_version=php.get("version", "") if php is not None else "",
        unsupported_php=_restricted(restriction),
        databases={item.get("name", ""): item.get("version", "") for item in entry.iter("VENDOR")},
        required_extensions=tuple(name for name, level in extensions if level == "required"),
        optional_extensions=tuple(name for name, level in extensions if level != "required"),
        php_settings={
            item.get("name", ""): SettingRequirement(item.get("value", ""), _level(item))
            for item in entry.iter("PHP_SETTING")
        },
        custom_checks={
            item.get("function", ""): _level(item) for item in entry.iter("CUSTOM_CHECK")
        },
    )


def _level(element: ElementTree.Element) -> Level:
    """Return the level; Moodle takes one it does not know as required (get_level, 4.5)."""
    return "recommended" if element.get("level") in ("optional", "recommended") else "required"


def _restricted(restriction: ElementTree.Element | None) -> str:
    """Return `8.4` of the function name restrict_php_version_84, `7` of restrict_php_version_7."""
    name = restriction.get("function", "") if restriction is not None else ""
    match = re.fullmatch(r"restrict_php_version_(\d)(\d*)", name)
    return ".".join(part for part in match.groups() if part) if match else ""


def _check_php(requirements: Requirements, php: PhpFacts) -> Iterator[Finding]:
    have = version_tuple(php.version)
    if have < version_tuple(requirements.php_version):
        yield Finding(
            "required",
            "php",
            f"Moodle {requirements.series} needs PHP {requirements.php_version} or later; "
            f"{php.binary} is {php.version}.",
            "Install a later PHP and set php.binary in vmoodle.toml to its command line.",
        )
    if requirements.unsupported_php and have >= version_tuple(requirements.unsupported_php):
        yield Finding(
            "required",
            "php",
            f"Moodle {requirements.series} does not run on PHP {requirements.unsupported_php} or "
            f"later; {php.binary} is {php.version}.",
            "Install an earlier PHP and set php.binary in vmoodle.toml to its command line.",
        )


def _check_extensions(requirements: Requirements, php: PhpFacts) -> Iterator[Finding]:
    wanted: tuple[tuple[Level, tuple[str, ...]], ...] = (
        ("required", requirements.required_extensions),
        ("recommended", requirements.optional_extensions),
    )
    for level, names in wanted:
        for name in names:
            if name.lower() not in php.extensions:
                package = _PACKAGES.get(name.lower(), name.lower())
                yield Finding(
                    level,
                    f"php-{name}",
                    f"The PHP extension {name} is missing.",
                    f"On Debian: apt install php-{package}",
                )


def _check_settings(requirements: Requirements, php: PhpFacts) -> Iterator[Finding]:
    for name, wanted in requirements.php_settings.items():
        have = php.settings.get(name)
        if name == "memory_limit":
            met = _size(have or "") < 0 or _size(have or "") >= _size(wanted.value)
        else:
            met = _is_on(have) == _is_on(wanted.value)
        if not met:
            least = " or more" if name == "memory_limit" else ""
            yield Finding(
                wanted.level,
                name,
                f"The PHP setting {name} is {have or 'off'}, not {wanted.value}{least}.",
                f"Set {name} = {wanted.value} in php.ini.",
            )


def _check_custom(requirements: Requirements, php: PhpFacts) -> Iterator[Finding]:
    """Make the custom checks that concern PHP itself (check_* in lib/upgradelib.php, 4.5)."""
    checks = requirements.custom_checks
    if "check_sixtyfour_bits" in checks and not php.bits64:
        yield Finding(
            checks["check_sixtyfour_bits"], "php", "PHP is a 32-bit build.", "Use a 64-bit system."
        )
    if "check_max_input_vars" in checks:
        have = _size(php.settings.get("max_input_vars") or "0")
        if have < MAX_INPUT_VARS:
            yield Finding(
                "required" if version_tuple(php.version) >= (8,) else "recommended",
                "max_input_vars",
                f"The PHP setting max_input_vars is {have}, below {MAX_INPUT_VARS}.",
                f"Set max_input_vars = {MAX_INPUT_VARS} in php.ini.",
            )


def _check_database(requirements: Requirements, flavour: str, version: str) -> Iterator[Finding]:
    vendor = _VENDORS.get(flavour.lower(), flavour.lower())
    title = _TITLES.get(vendor, flavour)
    least = requirements.databases.get(vendor)
    if least is None:
        yield Finding(
            "required",
            "database",
            f"Moodle {requirements.series} does not run on {title}.",
            "Use a MariaDB, MySQL or PostgreSQL server.",
        )
    elif version_tuple(version) < version_tuple(least):
        yield Finding(
            "required",
            "database",
            f"Moodle {requirements.series} needs {title} {least} or later; the server is "
            f"{version}.",
            "Choose another server (`vmoodle server list`), or upgrade this one.",
        )


def _is_on(value: str | None) -> bool:
    return (value or "").strip().lower() not in _FALSE


def _size(text: str) -> int:
    """Return bytes of PHP's shorthand (`96M`); -1 means without limit."""
    match = re.fullmatch(r"\s*(-?\d+)\s*([kmg]?)b?\s*", text.lower())
    return int(match.group(1)) * _SIZES.get(match.group(2), 1) if match else 0


def _unusable(path: Path, reason: str) -> InvalidInput:
    return InvalidInput(
        "codebase.environment",
        f"{path} {reason}.",
        "Put back the file of the release, or give a complete Moodle code tree.",
    )
