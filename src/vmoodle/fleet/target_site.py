"""One site as a command sees it: who it is, and a way to its database."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vmoodle.errors import Failed, Unavailable, VMoodleError
from vmoodle.hook.entry import own_cfg
from vmoodle.moodle.caches.invalidation import Change, invalidate
from vmoodle.moodle.caches.stores import CachePlace
from vmoodle.moodle.code.tree import MoodleTree
from vmoodle.moodle.scripts.script import Argument, CompletedScript, run_code, run_script

if TYPE_CHECKING:
    from vmoodle.engines.protocol import Engine, SiteConnection, SiteDatabase
    from vmoodle.installation import Installation


@dataclass(frozen=True)
class TargetSite:
    """What a command is given of a site. It runs beside others: it changes nothing they share."""

    shortname: str
    wwwroot: str
    state: str
    release: str
    """Moodle's own, as `4.5.6+ (Build: 20250829)`."""
    codebase: Path
    dataroot: Path
    engine: Engine = field(repr=False)
    database: SiteDatabase = field(repr=False)
    installation: Installation = field(repr=False)
    forced: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)
    """Settings forced on it, by component; '' is Moodle's core."""
    timeout: float = 60.0
    """Seconds the command may take on it."""
    session_key: str = ""
    """What its session cookie is called."""

    @property
    def in_force(self) -> Mapping[str, Mapping[str, Any]]:
        """All that its config.php sets: what is forced, its address, its database.

        It has the database password in clear.
        """
        config = self.engine.moodle_config(self.database)
        own = own_cfg(config, self.wwwroot, str(self.dataroot), self.session_key)
        return {**self.forced, "": {**self.forced.get("", {}), **own}}

    @property
    def caches(self) -> CachePlace:
        """Where it keeps what it has cached, and the configuration of that."""
        own = self.forced.get("", {})
        elsewhere = {
            name: Path(str(own[key]))
            for name, key in (("cachedir", "cachedir"), ("configuration", "altcacheconfigpath"))
            if own.get(key)
        }
        return CachePlace(self.dataroot, **elsewhere)

    @property
    def dialect(self) -> str:
        """The SQL its server speaks: `mariadb` (MySQL too) or `postgresql`."""
        return self.engine.address.engine

    def connect(
        self, *, read_only: bool = True, timeout: float | None = None, one_moment: bool = False
    ) -> AbstractContextManager[SiteConnection]:
        """Open its database as its own account, in one transaction, as `Engine.connect` does."""
        limit = timeout or self.timeout
        return self.engine.connect(
            self.database, read_only=read_only, statement_timeout=limit, one_moment=one_moment
        )

    @contextmanager
    def change(self, *, dry: bool = False, one_moment: bool = False) -> Iterator[SiteConnection]:
        """Open its database for one change, as `connect`; with `dry` all is taken back at the end.

        A trial so makes what it tells: nothing of it stays. Raise Failed `run.outcome` where the
        commit was not answered; what is raised before it says that nothing was changed.
        """
        committing = False
        try:
            with (
                suppress(_TakenBackError),
                self.connect(read_only=False, one_moment=one_moment) as connection,
            ):
                yield connection
                if dry:
                    raise _TakenBackError
                committing = True
        except Unavailable as error:
            # A commit that met another's work was refused, and that is an answer.
            if not committing or error.code == "engine.busy":
                raise
            with suppress(VMoodleError):  # it may be made, and is to be seen then
                self.drop_caches(Change)
            raise unheard(f"the commit was not answered. {error.message}") from error

    def drop_caches(self, changes: Iterable[Change]) -> list[str]:
        """Drop what it has cached of what was changed, after the commit, so that it shows at once.

        Return in sentences which cache may still answer with what was before, and what to do.
        """
        stale = invalidate(self.caches, changes).stale
        return [f"{one.error.message} {one.error.hint}".strip() for one in stale]

    def run_script(
        self, script: str, args: Sequence[Argument] = (), *, timeout: float | None = None
    ) -> CompletedScript:
        """Run one of Moodle's own scripts for it, as `moodle.script.run_script` does."""
        with _own_limit():
            return run_script(
                MoodleTree.open(self.codebase),
                self.installation.php,
                script,
                args,
                site=self.shortname,
                timeout=timeout or self.timeout,
                redact=[self.database.password],
                tail_lines=None,
            )

    def run_code(self, code: str, *, what: str, given: str = "") -> str:
        """Run a few lines of PHP inside it, as `moodle.script.run_code` does; return the output.

        Raise Failed `script.failed` where they do not end well.
        """
        with _own_limit():
            done = run_code(
                MoodleTree.open(self.codebase),
                self.installation.php,
                code,
                site=self.shortname,
                what=what,
                given=given,
                timeout=self.timeout,
                redact=[self.database.password],
            )
        if done.exit_status != 0:
            raise script_failed(what, done)
        return done.output_tail


class _TakenBackError(Exception):
    """Ends the transaction of a trial."""


def unheard(why: str) -> Failed:
    """Return the error of a change of which nobody knows whether it was made."""
    return Failed(
        "run.outcome",
        f"Whether the change was made is not known: {why}",
        "Look at the site; then order it anew where it is missing (of unknown:RUN).",
    )


def script_failed(script: str, done: CompletedScript) -> Failed:
    """Return the error of a script that did not end well, with what it said last."""
    lines = [line.strip() for line in done.output_tail.splitlines() if line.strip()]
    said = f": {lines[-1].removeprefix('!!! ').removesuffix(' !!!')}" if lines else ""
    return Failed(
        "script.failed",
        f"{script} ended with status {done.exit_status}{said.rstrip('.')}.",
        "Run it by `vmoodle exec` to see all it says.",
    )


@contextmanager
def _own_limit() -> Iterator[None]:
    """Say of what took too long how a command is given more time."""
    try:
        yield
    except Unavailable as error:
        if error.code != "php.timeout":
            raise
        raise Unavailable("php.timeout", error.message, "Allow it more time.") from error
