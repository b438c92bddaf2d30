"""A site's moodledata: below the base, the web account's own, never through a symlink."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from vmoodle.errors import Conflict, Refused, Unavailable
from vmoodle.installation import Installation
from vmoodle.operations.plan import StepContext
from vmoodle.registry import ledger, sites
from vmoodle.registry.models import Site

MODE = 0o2770


def path_for(installation: Installation, shortname: str) -> Path:
    """Return where a site's moodledata goes; raise Refused for a base that is a trap."""
    base = installation.dataroot_base
    if not base.is_absolute() or ".." in base.parts:
        raise Refused(
            "dataroot.base",
            f"The moodledata base {base} is not an absolute, plain path.",
            "Set sites.dataroot_base in vmoodle.toml to one.",
        )
    return base / shortname


def refuse_unusable(path: Path) -> None:
    """Raise Conflict when something is there already, Refused when its base leads elsewhere."""
    if path.is_symlink() or path.exists():
        raise Conflict(
            "dataroot.exists",
            f"{path} exists already and VMoodle did not make it.",
            "Choose another shortname, or move it away.",
        )
    refuse_outside(path)


def refuse_outside(path: Path) -> None:
    """Raise Refused when the path is not a plain child of its base (a symlink on the way)."""
    base = path.parent
    if path.is_symlink() or (base.exists() and base.resolve() / path.name != path.resolve()):
        raise Refused(
            "dataroot.outside",
            f"{path} leads out of the moodledata base.",
            "A site's moodledata is a real directory of its own below the base.",
        )


def make(context: StepContext) -> None:
    """Create the directory for the web account alone."""
    installation, site = context.installation, sites.find(context.site)
    path = Path(site.dataroot)
    refuse_outside(path)
    if not ledger.planned_by(ledger.DIRECTORY, "", str(path), operation=context.operation_id):
        refuse_unusable(path)
    ledger.plan(
        ledger.DIRECTORY, "", str(path), site=site.shortname, operation=context.operation_id
    )
    try:
        make_base(installation)
        path.mkdir(mode=0o700, exist_ok=True)
        _hand_over(installation, path)
    except OSError as error:
        raise Unavailable(
            "dataroot.unwritable",
            f"{path} cannot be made: {error.strerror}.",
            "Free space, or let VMoodle's account write in the moodledata base.",
        ) from error
    ledger.made(ledger.DIRECTORY, "", str(path))


def make_base(installation: Installation) -> None:
    """Create the base where there is none: others may traverse but not list it."""
    base = installation.dataroot_base
    if not base.is_dir():
        base.mkdir(parents=True, exist_ok=True)
        base.chmod(0o711 if os.geteuid() == 0 else 0o700)


def clear(installation: Installation, site: Site) -> None:
    """Empty a site's moodledata, keep the directory."""
    path = Path(site.dataroot)
    refuse_outside(path)
    for child in path.iterdir():
        if child.is_dir() and not child.is_symlink():
            shutil.rmtree(child)
        else:
            child.unlink()
    _hand_over(installation, path)


def destroy(context: StepContext) -> None:
    """Remove the site's moodledata when the ledger proves it ours; none is no error."""
    site = Site.objects.filter(shortname=context.site).first()
    if site is None or not ledger.is_ours(ledger.DIRECTORY, "", site.dataroot, site=site.shortname):
        return
    path = Path(site.dataroot)
    refuse_outside(path)
    if path.exists():
        shutil.rmtree(path)
    ledger.removed(ledger.DIRECTORY, "", site.dataroot)


def _hand_over(installation: Installation, path: Path) -> None:
    account = installation.web_account
    if os.geteuid() == 0:
        os.chown(path, account.pw_uid, account.pw_gid)
    path.chmod(MODE)
