"""Read the version of a Moodle core or of a plugin from its version.php, without PHP."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from vmoodle.errors import InvalidInput
from vmoodle.moodle.code.plugin_source import read_plugin_source
from vmoodle.moodle.php.source import Number, Value, assignments

_TREE_HINT = "Give the directory of a complete Moodle code tree, as moodle.org distributes it."
# More than any version.php; a huge file of that name is not one.
_LARGEST_BYTES = 200_000


@dataclass(frozen=True)
class MoodleVersion:
    """The version of a code tree; `version` is exact text, such as 2024100705.01.

    `version` is spelled as Moodle stores it in `config.version`, `literal` as version.php has it:
    2024100700.00 is stored as 2024100700 and yet is a float to `serialize`.
    """

    version: str
    release: str
    branch: str
    maturity: str
    series: str
    literal: str = ""

    @property
    def number(self) -> Decimal:
        """The version for comparing; text would order 9 after 10."""
        return Decimal(self.version)


@dataclass(frozen=True)
class PluginVersion:
    """What a plugin's version.php says; `version` is None where it says nothing (nor is a file).

    `requires` is the least core version, `supported` the range of core branches, `incompatible`
    the first core branch it does not run on, `dependencies` maps components to least versions.
    `computed` says that the file works its version out, which only PHP can.
    """

    version: Number | str | None
    component: str = ""
    requires: str = ""
    release: str = ""
    maturity: str = ""
    supported: tuple[str, ...] = ()
    incompatible: str = ""
    dependencies: dict[str, str] = field(default_factory=dict)
    computed: bool = False


def read_version(path: Path) -> MoodleVersion:
    """Return the version of the core whose version.php this is.

    Raise InvalidInput `codebase.version` when the file is none of Moodle's (lib/classes/
    component.php includes it for `$version`; admin/index.php for release, branch and maturity).
    """
    values = assignments(_read(path))
    version, release = values.get("$version"), values.get("$release")
    if not isinstance(version, Number) or not isinstance(release, str):
        raise InvalidInput(
            "codebase.version",
            f"{path} does not assign $version and $release as Moodle's version.php does.",
            _TREE_HINT,
        )
    branch = _text(values.get("$branch"))
    series = _series(release, branch)
    if not series:
        raise InvalidInput(
            "codebase.version", f"{path} has no release like 4.5: {release!r}.", _TREE_HINT
        )
    maturity = _text(values.get("$maturity")).removeprefix("MATURITY_").lower()
    return MoodleVersion(
        version.canonical(), release, branch, maturity, series, literal=version.text
    )


def read_plugin_version(path: Path) -> PluginVersion:
    """Return what a plugin's version.php says; raise InvalidInput `codebase.version` if unreadable.

    `$module` is the older name of `$plugin` in activity modules, and Moodle still takes it
    (lib/classes/component.php 3.6 to 5.1).
    """
    source = read_plugin_source(_read(path))
    facts = source.facts
    version = facts.get("version")
    supported, dependencies = facts.get("supported"), facts.get("dependencies")
    return PluginVersion(
        version=version if isinstance(version, Number | str) else None,
        component=_text(facts.get("component")),
        requires=_text(facts.get("requires")),
        release=_text(facts.get("release")),
        maturity=_text(facts.get("maturity")).removeprefix("MATURITY_").lower(),
        supported=tuple(map(_text, supported)) if isinstance(supported, list) else (),
        incompatible=_text(facts.get("incompatible")),
        dependencies={name: _text(least) for name, least in dependencies.items()}
        if isinstance(dependencies, dict)
        else {},
        computed=source.computed,
    )


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_BYTES + 1)
    except OSError as error:
        raise InvalidInput(
            "codebase.version", f"{path} cannot be read: {error.strerror}.", _TREE_HINT
        ) from error
    if len(content) > _LARGEST_BYTES:
        raise InvalidInput("codebase.version", f"{path} is too large to be one.", _TREE_HINT)
    return content.decode("utf-8", errors="replace")


def _text(value: Value) -> str:
    if isinstance(value, Number):
        return value.canonical()
    return value if isinstance(value, str) else ""


def _series(release: str, branch: str) -> str:
    """Return `4.5` of release `4.5.5+ (Build: …)`, else of branch `405` (`39` was 3.9)."""
    match = re.match(r"\s*(\d+)\.(\d+)", release) or re.fullmatch(r"(\d)(\d+)", branch)
    return f"{int(match.group(1))}.{int(match.group(2))}" if match else ""
