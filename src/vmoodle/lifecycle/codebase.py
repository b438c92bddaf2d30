"""Add, check, refresh and remove codebases, and put VMoodle's config.php in their tree."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from vmoodle.errors import InvalidInput, Refused, Unavailable
from vmoodle.files import write_atomically
from vmoodle.hook import install as hook_install
from vmoodle.hook.config_php import render_config_php
from vmoodle.installation import Installation
from vmoodle.lifecycle import code_cache, component_cache, names
from vmoodle.lifecycle.codebase_copy import SANDBOX, copy_code_tree
from vmoodle.lifecycle.publish import publish_each
from vmoodle.moodle.code import config_php
from vmoodle.moodle.code.environment import Finding, check, read_requirements
from vmoodle.moodle.code.tree import MoodleTree
from vmoodle.progress import Tell, tell_nobody
from vmoodle.registry import audit, codebases, sites
from vmoodle.registry.models import Codebase, DatabaseServer

REQUIRED = "required"


@dataclass(frozen=True)
class CodebaseReport:
    """A codebase and what its own environment.xml says of this machine."""

    codebase: Codebase
    findings: list[Finding]

    @property
    def blocking(self) -> list[Finding]:
        """The findings that keep Moodle from being installed."""
        return [finding for finding in self.findings if finding.level == REQUIRED]


def add(
    installation: Installation,
    name: str,
    path: str,
    *,
    immutable: bool = False,
    copy: bool = False,
    tell: Tell = tell_nobody,
) -> CodebaseReport:
    """Add a code tree by path, or a private copy of the sandbox tree by the word `sandbox`.

    With `copy` VMoodle works on a private copy of the tree, and neither sees what the other's
    files become.

    A config.php that is not ours is set aside, never lost. Raise InvalidInput when there is no
    Moodle, Refused when this machine's PHP does not meet the tree's requirements.
    """
    names.thing("codebase", name)
    own_copy = copy or path == SANDBOX
    target = installation.home.codebases / name if own_copy else Path(path).expanduser()
    codebases.refuse_taken(name, os.path.realpath(target))
    if own_copy:
        tell("copying the tree")
        copy_code_tree(installation, path, target, tell)
    codebase = Codebase(name=name, immutable=immutable, own_copy=own_copy)
    written = False
    try:
        tree = MoodleTree.open(target)
        codebases.refuse_taken(name, str(tree.root))
        tell("checking the tree's requirements")
        findings = requirements(installation, tree)
        _refuse_blocking(findings)
        codebase.path, codebase.layout = str(tree.root), tree.layout
        codebase.version, codebase.release = tree.version.version, tree.version.release
        codebase.branch = tree.version.branch
        codebase.set_aside = str(_write_config(installation, tree, name) or "")
        written = True
        if immutable:
            tell("building the component cache")
            codebase.component_cache = str(component_cache.build(installation, tree, name))
        codebase.save()
    except BaseException:
        if own_copy:
            shutil.rmtree(target, ignore_errors=True)
        elif written:
            _take_config_out(codebase)
        component_cache.remove(installation, name)
        raise
    audit.record("codebase.add", name, path=str(tree.root), release=tree.version.release)
    return CodebaseReport(codebase, findings)


def check_codebase(
    installation: Installation,
    codebase: Codebase,
    server: DatabaseServer | None = None,
    tell: Tell = tell_nobody,
) -> CodebaseReport:
    """Read the tree again, keep its version, mend its config.php, and check its requirements.

    An immutable tree's component cache is built anew, and its sites are published to use it. Raise
    Refused `codebase.config.foreign` for a config.php that somebody else has written.
    """
    tree = MoodleTree.open(Path(codebase.path))
    state = config_php.classify(tree.config_path)
    if state == config_php.FOREIGN:
        raise Refused(
            "codebase.config.foreign",
            f"{tree.config_path} is not VMoodle's any more.",
            "Move it away and check again, or `vmoodle codebase remove` this codebase.",
        )
    _write_config(installation, tree, codebase.name)
    before = codebase.component_cache
    if codebase.immutable:
        tell("building the component cache")
        codebase.component_cache = str(component_cache.build(installation, tree, codebase.name))
    codebase.version = tree.version.version
    codebase.release = tree.version.release
    codebase.branch = tree.version.branch
    codebase.layout = tree.layout
    codebase.save()
    if codebase.immutable:
        # Also when the cache is the same: an earlier check may have been killed half-way.
        publish_each(installation, sites.every().filter(codebase=codebase), tell)
        current = codebase.component_cache
        component_cache.remove_others(installation, codebase.name, before, current)
    code_cache.remove(installation, codebase.name)
    tell("checking the tree's requirements")
    database = (server.flavour, server.version) if server else None
    return CodebaseReport(codebase, requirements(installation, tree, database))


def requirements(
    installation: Installation, tree: MoodleTree, database: tuple[str, str] | None = None
) -> list[Finding]:
    """Return what the tree's admin/environment.xml finds on this machine."""
    wanted = read_requirements(tree.environment_xml, tree.version.series)
    return check(wanted, installation.php.facts(), database)


def remove(installation: Installation, codebase: Codebase) -> Path | None:
    """Forget a codebase without sites; take our config.php out, put a set-aside one back.

    Return the path of the config.php that was put back, if any. The tree itself is only removed
    when it is the private copy that `add` made. Raise Conflict when it is used; nothing is changed
    then.
    """
    if codebase.own_copy:
        _refuse_outside(Path(codebase.path), installation.home.codebases)
    # From here on no site can come to be on it: only now its files go.
    codebases.forget(codebase)
    audit.record("codebase.remove", codebase.name)
    try:
        restored = _take_config_out(codebase)
        component_cache.remove(installation, codebase.name)
        code_cache.remove(installation, codebase.name)
        if codebase.own_copy and Path(codebase.path).exists():
            shutil.rmtree(codebase.path)
    except OSError as error:
        raise Unavailable(
            "codebase.left",
            f"The codebase {codebase.name} is forgotten; {error.filename or codebase.path} cannot "
            f"be removed: {error.strerror}.",
            "Remove by hand what is left of it.",
        ) from error
    return restored


def _take_config_out(codebase: Codebase) -> Path | None:
    try:
        config = MoodleTree.open(Path(codebase.path)).config_path
    except InvalidInput:
        return None
    if config_php.classify(config) == config_php.OURS:
        config.unlink()
    if codebase.set_aside and Path(codebase.set_aside).exists() and not config.exists():
        config_php.put_back(Path(codebase.set_aside), config)
        return config
    return None


def config_text(installation: Installation, name: str) -> str:
    """Return the config.php that belongs into a codebase's tree."""
    hook = installation.home.hook / hook_install.SOURCE.name
    return render_config_php(hook, installation.home.map, name)


def refresh_configs(installation: Installation) -> int:
    """Write config.php anew where it is ours and of another release; return how many were."""
    written = 0
    for codebase in Codebase.objects.order_by("name"):
        tree = MoodleTree.open(Path(codebase.path))
        ours = config_php.classify(tree.config_path) == config_php.OURS
        if ours and tree.config_path.read_text() != config_text(installation, codebase.name):
            _write_config(installation, tree, codebase.name)
            written += 1
    return written


def _write_config(installation: Installation, tree: MoodleTree, name: str) -> Path | None:
    """Write our config.php; return where the one that stood there first was set aside."""
    hook_install.install_hook(installation.home.hook)
    state = config_php.classify(tree.config_path)
    if state == config_php.OURS:
        _refuse_other_installation(installation, tree.config_path)
    # One that a call set aside and was then killed is still to be put back some day.
    left = sorted(tree.config_path.parent.glob("config.before-vmoodle*.php"))
    set_aside = left[-1] if left else None
    moved = state == config_php.FOREIGN
    if moved:
        set_aside = config_php.set_aside(tree.config_path)
    try:
        write_atomically(tree.config_path, config_text(installation, name), mode=0o644)
    except OSError as error:
        if moved and set_aside is not None:
            config_php.put_back(set_aside, tree.config_path)
        raise Refused(
            "codebase.readonly",
            f"{tree.config_path} cannot be written: {error.strerror}.",
            "Let VMoodle's account write config.php in the tree, or add the tree as that account.",
        ) from error
    return set_aside


def _refuse_other_installation(installation: Installation, config: Path) -> None:
    if f"'{installation.home.map}'" not in config.read_text():
        raise Refused(
            "codebase.config.other",
            f"{config} belongs to another VMoodle home on this machine.",
            "Add a private copy instead (--copy), or remove the codebase there first.",
        )


def _refuse_blocking(findings: list[Finding]) -> None:
    blocking = [finding for finding in findings if finding.level == REQUIRED]
    if blocking:
        raise Refused(
            "codebase.requirements",
            "This machine does not meet the tree's requirements: "
            + " ".join(finding.message for finding in blocking),
            " ".join(dict.fromkeys(finding.hint for finding in blocking if finding.hint)),
        )


def _refuse_outside(path: Path, base: Path) -> None:
    if path.is_symlink() or not path.resolve().is_relative_to(base.resolve()):
        raise Refused(
            "codebase.outside",
            f"{path} is not below {base}; it is not VMoodle's to remove.",
            "Remove it by hand if you want it gone.",
        )
