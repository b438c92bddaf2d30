"""Run stock Moodle scripts for sites, as the web account, the site chosen by the environment."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from vmoodle.errors import VMoodleError
from vmoodle.installation import Installation
from vmoodle.moodle.code.tree import MoodleTree
from vmoodle.moodle.scripts.script import run_script
from vmoodle.registry import sites
from vmoodle.registry.models import Site, SiteState


@dataclass(frozen=True)
class ScriptResult:
    """How a script ended on one site; output is standard output and error together.

    Where it could not be started or took too long, `error` is the code of the reason, which is the
    output then.
    """

    site: str
    exit_status: int
    output: str
    error: str = ""


def replace_process(installation: Installation, shortname: str, script: Sequence[str]) -> None:
    """Become the script: input, output, signals and exit status are its own. Never returns.

    It has no time limit: the person at the terminal ends it.
    """
    site = sites.find(shortname)
    path = MoodleTree.open(Path(site.codebase.path)).script(script[0])
    argv, environment = installation.php.command([str(path), *script[1:]], site=site.shortname)
    os.chdir(path.parent)
    os.execvpe(argv[0], argv, environment)  # noqa: S606


def run_on_one(installation: Installation, shortname: str, script: Sequence[str]) -> ScriptResult:
    """Run the script on a site and return what it printed, the site's own password hidden.

    Raise what run_script does: when it cannot be started or takes longer than
    `php.script_timeout`.
    """
    return run_on(installation, sites.find(shortname), script)


def run_on_all(
    installation: Installation,
    script: Sequence[str],
    *,
    at_once: int,
    watch: Callable[[ScriptResult], None],
) -> list[ScriptResult]:
    """Run the script on every enabled or suspended site; `watch` gets each result as it comes.

    A site on which it cannot be started or takes longer than `php.script_timeout` has failed with
    the error's status; the others go on. An interrupted call ends the scripts that run.
    """
    _php = installation.php  # without PHP no site is any different
    usable = {SiteState.ENABLED, SiteState.SUSPENDED}
    chosen = [site for site in sites.every() if SiteState(site.state) in usable]

    stopped = threading.Event()

    def run(site: Site) -> ScriptResult:
        try:
            return run_on(installation, site, script, stopped)
        except VMoodleError as error:
            said = f"{error.message} {error.hint}".rstrip()
            return ScriptResult(site.shortname, error.exit_status, said, error.code)

    results = []
    with ThreadPoolExecutor(max_workers=at_once) as pool:
        try:
            for result in pool.map(run, chosen):
                watch(result)
                results.append(result)
        except BaseException:
            stopped.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return results


def run_on(
    installation: Installation,
    site: Site,
    script: Sequence[str],
    stopped: threading.Event | None = None,
) -> ScriptResult:
    """Run the script on a site, or on a copy that stands in the map as one; as `run_on_one`."""
    ended = run_script(
        MoodleTree.open(Path(site.codebase.path)),
        installation.php,
        script[0],
        script[1:],
        site=site.shortname,
        timeout=installation.settings.php.script_timeout,
        redact=[installation.site_database(site).password],
        tail_lines=None,
        stopped=stopped,
    )
    return ScriptResult(site.shortname, ended.exit_status, ended.output_tail)
