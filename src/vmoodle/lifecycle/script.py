"""Run stock Moodle scripts for sites, as the web account, the site chosen by the environment."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from vmoodle.installation import Installation
from vmoodle.moodle.tree import MoodleTree
from vmoodle.registry import sites
from vmoodle.registry.models import Site, SiteState


@dataclass(frozen=True)
class ScriptResult:
    """How a script ended on one site; output is standard output and error together."""

    site: str
    exit_status: int
    output: str


def replace_process(installation: Installation, shortname: str, script: Sequence[str]) -> None:
    """Become the script: input, output, signals and exit status are its own. Never returns."""
    argv, environment, directory = _command(
        installation, sites.find(shortname), script, die_with_parent=False
    )
    os.chdir(directory)
    os.execvpe(argv[0], argv, environment)  # noqa: S606


def run_on_all(
    installation: Installation,
    script: Sequence[str],
    *,
    at_once: int,
    watch: Callable[[ScriptResult], None],
) -> list[ScriptResult]:
    """Run the script on every enabled or suspended site; `watch` gets each result as it comes."""
    usable = {SiteState.ENABLED, SiteState.SUSPENDED}
    commands = [
        (site.shortname, _command(installation, site, script, die_with_parent=True))
        for site in sites.every()
        if SiteState(site.state) in usable
    ]

    def run(item: tuple[str, tuple[list[str], dict[str, str], Path]]) -> ScriptResult:
        shortname, (argv, environment, directory) = item
        ended = subprocess.run(
            argv,
            env=environment,
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        return ScriptResult(
            shortname, ended.returncode, ended.stdout.decode("utf-8", errors="replace")
        )

    results = []
    with ThreadPoolExecutor(max_workers=at_once) as pool:
        for result in pool.map(run, commands):
            watch(result)
            results.append(result)
    return results


def _command(
    installation: Installation, site: Site, script: Sequence[str], *, die_with_parent: bool
) -> tuple[list[str], dict[str, str], Path]:
    tree = MoodleTree.open(Path(site.codebase.path))
    path = tree.script(script[0])
    argv, environment = installation.php.command(
        [str(path), *script[1:]], site=site.shortname, die_with_parent=die_with_parent
    )
    return argv, environment, path.parent
