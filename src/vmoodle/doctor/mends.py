"""What `vmoodle doctor --mend` can do: each brings back what the registry or the ledger says."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from vmoodle.doctor.finding import Finding, Mend
from vmoodle.errors import VMoodleError
from vmoodle.fleet.kinds import KINDS
from vmoodle.hook.rights import set_rights
from vmoodle.installation import Installation
from vmoodle.lifecycle import leftover
from vmoodle.lifecycle.publish import let_web_server_follow
from vmoodle.lifecycle.rebuild import rebuild
from vmoodle.lifecycle.snapshot import snapshot
from vmoodle.lifecycle.template import warm
from vmoodle.operations.follow import follow, work
from vmoodle.operations.outcome import raise_its_error
from vmoodle.progress import Tell, tell_nobody
from vmoodle.registry import audit
from vmoodle.registry.models import LedgerEntry


@dataclass(frozen=True)
class Mended:
    """What became of a mend: `error` is None when it was done."""

    title: str
    error: VMoodleError | None = None


def of(findings: Iterable[Finding]) -> list[Mend]:
    """Return the findings' mends in order, one that several share once."""
    return list({f.mend.title: f.mend for f in findings if f.mend is not None}.values())


def carry_out(
    installation: Installation, mends: Iterable[Mend], tell: Tell = tell_nobody
) -> list[Mended]:
    """Do each mend, whatever comes of the others; return what came of each."""
    outcomes = []
    for mend in mends:
        tell(mend.title)
        try:
            mend.act(installation)
        except VMoodleError as error:
            outcomes.append(Mended(mend.title, error))
        else:
            audit.record("doctor.mend", mend.title)
            outcomes.append(Mended(mend.title))
    return outcomes


def close_to_others(path: Path) -> Mend:
    """Take the rights of all but the owner from a private file."""
    return Mend(f"close {path} to other accounts", lambda _installation: path.chmod(0o600))


def write_map() -> Mend:
    """Write the map, the hook and outdated config.php from the registry."""

    def act(installation: Installation) -> None:
        rebuild(installation)

    return Mend("write the map, the hook and each config.php anew", act)


def set_map_rights() -> Mend:
    """Give the map's directories and files the modes, owner and group they must have."""
    return Mend(
        "set the modes, owner and group of the map's directories and files",
        lambda installation: set_rights(installation.home.map, installation.map_group),
    )


def tell_web_server() -> Mend:
    """Write the web server's map, and have the web server read it."""
    return Mend("write the web server's map and have it read", let_web_server_follow)


def work_off() -> Mend:
    """Execute what waits, as `vmoodle worker --until-idle`."""

    def act(installation: Installation) -> None:
        work(installation, KINDS, until_idle=True)

    return Mend("execute the operations that wait", act)


def refill(template: str, keep: int, *, drop_all: bool = False) -> Mend:
    """Drop a template's unusable copies and make others; `drop_all` where one has lost a part."""

    def act(installation: Installation) -> None:
        for count in (0, keep) if drop_all else (keep,):
            operation = warm.keep(installation, template, count)
            ended = follow(installation, KINDS, operation.id, lambda _row, _events: None)
            raise_its_error(ended, KINDS)

    return Mend(f"make the waiting copies of the template {template} anew", act)


def forget_snapshot(snapshot_id: str) -> Mend:
    """Remove a snapshot that was never whole."""

    def act(installation: Installation) -> None:
        snapshot.delete(installation, snapshot_id)

    return Mend(f"remove the half-taken snapshot {snapshot_id}", act)


def drop_leftover(entry: LedgerEntry) -> Mend:
    """Drop what the ledger proves VMoodle's and nobody has any more."""
    return Mend(
        f"drop the {entry.kind} {entry.name}, left over from {entry.owner}",
        lambda installation: leftover.drop(installation, entry),
    )
