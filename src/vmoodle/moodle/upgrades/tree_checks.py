"""What hinders an upgrade to a code tree on whatever site: the tree itself, and this PHP.

The rules are those by which Moodle refuses to begin, or breaks off: admin/cli/upgrade.php,
all_plugins_ok() in lib/classes/plugin_manager.php, upgrade_plugins() and
upgrade_stale_php_files_present() in lib/upgradelib.php (4.5 and 5.1).
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal, InvalidOperation

from vmoodle.moodle.code.environment import Finding, check
from vmoodle.moodle.code.version import PluginVersion
from vmoodle.moodle.php.binary import PhpFacts
from vmoodle.moodle.php.source import assignments
from vmoodle.moodle.upgrades.code import UpgradeCode
from vmoodle.moodle.upgrades.finding import UpgradeFinding, blocker, warning

_ANY = frozenset({"any", "ANY_VERSION"})
_STABLE = frozenset({"stable", "200", ""})
_PUT_ANOTHER = "Put a version of it that fits into the tree, or take its directory out."


def check_tree(code: UpgradeCode) -> Iterator[UpgradeFinding]:
    """Give what is wrong with the tree: its maturity, files of an older one, its plugins."""
    version = code.tree.version
    if version.maturity not in _STABLE:
        yield blocker(
            "core.unstable",
            f"Moodle {version.release} is {version.maturity}, not stable.",
            "Use a tree of a stable release.",
        )
    if stale := _stale_files(code):
        yield blocker(
            "core.stale",
            f"The tree has files of an earlier Moodle, as {stale}.",
            "Unpack the release into an empty directory; put plugins there, and nothing else.",
        )
    for component in code.disk:
        yield from _check_plugin(code, component, code.plugins[component])


def check_machine(
    code: UpgradeCode, php: PhpFacts, database: tuple[str, str]
) -> Iterator[UpgradeFinding]:
    """Give what the tree's environment.xml requires that PHP and the database have not."""
    for finding in check(code.requirements, php, database):
        make = blocker if finding.level == "required" else warning
        yield make(_code_of(finding), finding.message, finding.hint)


def _code_of(finding: Finding) -> str:
    if finding.subject == "php":
        return "php.version"
    if finding.subject == "database":
        return "database.version"
    return "php.extension" if finding.subject.startswith("php-") else "php.setting"


def _stale_files(code: UpgradeCode) -> str:
    """Return a file of the tree that its own list of removed files has, empty for none."""
    source = code.tree.webroot / "lib" / "upgradelib.php"
    try:
        text = source.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    # The whole library has a tenth of a megabyte; only the list in it is read.
    _before, name, rest = text.partition("$someexamplesofremovedfiles")
    removed = assignments(f"<?php {name}{rest.partition(';')[0]};").get(name) if name else None
    for file in removed if isinstance(removed, list) else ():
        if isinstance(file, str) and (code.tree.webroot / file.lstrip("/")).exists():
            return file
    return ""


def _check_plugin(
    code: UpgradeCode, component: str, plugin: PluginVersion
) -> Iterator[UpgradeFinding]:
    core = code.tree.version
    if plugin.computed:
        yield warning(
            "plugin.unknown",
            f"Only PHP can tell the version of {component}.",
            "Write $plugin->version in its version.php as a plain number.",
        )
        return
    if plugin.version in (None, "", "0") or plugin.component != component:
        said = plugin.component or "nothing"
        what = f"says it is {said}" if plugin.component != component else "says no version"
        yield blocker(
            "plugin.defective", f"{component} in the tree {what} in its version.php.", _PUT_ANOTHER
        )
        return
    if _number(plugin.requires) > core.number:
        yield blocker(
            "plugin.requires",
            f"{component} needs Moodle {plugin.requires} or later; the tree is {core.version}.",
            _PUT_ANOTHER,
        )
    branch = int(core.branch or 0)
    incompatible = int(_number(plugin.incompatible))
    if incompatible and branch >= incompatible:
        yield blocker(
            "plugin.incompatible",
            f"{component} says that it does not run on Moodle {_series(incompatible)} or later.",
            _PUT_ANOTHER,
        )
    elif len(plugin.supported) == 2:
        first, last = (int(_number(one)) for one in plugin.supported)
        if not first <= branch <= last:
            yield warning(
                "plugin.supported",
                f"{component} says that it is for Moodle {_series(first)} to {_series(last)}.",
                "Try it out on a copy of a site, or put a later version of it into the tree.",
            )
    yield from _check_dependencies(code, component, plugin)


def _check_dependencies(
    code: UpgradeCode, component: str, plugin: PluginVersion
) -> Iterator[UpgradeFinding]:
    for other, least in plugin.dependencies.items():
        have = code.disk.get(other)
        if have is None:
            yield blocker(
                "plugin.dependency",
                f"{component} needs {other}, which is not in the tree.",
                f"Put {other} into the tree, or take {component} out.",
            )
        elif least not in _ANY and _number(have) < _number(least):
            yield blocker(
                "plugin.dependency",
                f"{component} needs {other} {least} or later; the tree has {have or 'none'}.",
                f"Put a later {other} into the tree.",
            )


def _number(text: str) -> Decimal:
    try:
        return Decimal(text or 0)
    except InvalidOperation:
        return Decimal(0)


def _series(branch: int) -> str:
    """Return 4.5 for branch 405, 3.9 for 39."""
    major, minor = divmod(branch, 100 if branch >= 100 else 10)
    return f"{major}.{minor}"
