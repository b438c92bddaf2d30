"""Run stock Moodle scripts for sites, as the web account, the site chosen by the environment."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from vmoodle.errors import Unavailable, VMoodleError
from vmoodle.installation import Installation
from vmoodle.moodle.tree import MoodleTree
from vmoodle.registry import sites
from vmoodle.registry.models import Site, SiteState


@dataclass(frozen=True)
class ScriptResult:
    """How a script ended on one site; output is standard output and error together.

    Where it could not be started, `error` is the code of the reason, which is the output then.
    """

    site: str
    exit_status: int
    output: str
    error: str = ""


def replace_process(installation: Installation, shortname: str, script: Sequence[str]) -> None:
    """Become the script: input, output, signals and exit status are its own. Never returns."""
    argv, environment, directory = _command(
        installation, sites.find(shortname), script, die_with_parent=False
    )
    os.chdir(directory)
    os.execvpe(argv[0], argv, environment)  # noqa: S606


def run_on_one(installation: Installation, shortname: str, script: Sequence[str]) -> ScriptResult:
    """Run the script on a site and return what it printed; raise when it cannot be started."""
    return _run(installation, sites.find(shortname), script)


def run_on_all(
    installation: Installation,
    script: Sequence[str],
    *,
    at_once: int,
    watch: Callable[[ScriptResult], None],
) -> list[ScriptResult]:
    """Run the script on every enabled or suspended site; `watch` gets each result as it comes.

    A site on which it cannot be started has failed with the error's status; the others go on.
    """
    _php = installation.php  # without PHP no site is any different
    usable = {SiteState.ENABLED, SiteState.SUSPENDED}
    chosen = [site for site in sites.every() if SiteState(site.state) in usable]

    def run(site: Site) -> ScriptResult:
        try:
            return _run(installation, site, script)
        except VMoodleError as error:
            said = f"{error.message} {error.hint}".rstrip()
            return ScriptResult(site.shortname, error.exit_status, said, error.code)

    results = []
    with ThreadPoolExecutor(max_workers=at_once) as pool:
        for result in pool.map(run, chosen):
            watch(result)
            results.append(result)
    return results


def _run(installation: Installation, site: Site, script: Sequence[str]) -> ScriptResult:
    argv, environment, directory = _command(installation, site, script, die_with_parent=True)
    try:
        ended = subprocess.run(
            argv,
            env=environment,
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
    except OSError as error:
        raise Unavailable(
            "php.failed",
            f"{script[0]} cannot be started in {directory}: {error.strerror}.",
            "`vmoodle doctor` checks PHP and the code trees.",
        ) from error
    output = ended.stdout.decode("utf-8", errors="replace")
    return ScriptResult(site.shortname, ended.returncode, output)


def _command(
    installation: Installation, site: Site, script: Sequence[str], *, die_with_parent: bool
) -> tuple[list[str], dict[str, str], Path]:
    tree = MoodleTree.open(Path(site.codebase.path))
    path = tree.script(script[0])
    argv, environment = installation.php.command(
        [str(path), *script[1:]], site=site.shortname, die_with_parent=die_with_parent
    )
    return argv, environment, path.parent
