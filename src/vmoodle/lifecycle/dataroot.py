"""A site's moodledata: below the base, the web account's own, never through a symlink.

VMoodle makes and removes directories below the base as root. Whoever may put something into the
base, or lead a directory above it elsewhere, could turn that on files that are no site's.
"""

from __future__ import annotations

import os
import pwd
import shutil
import stat
from pathlib import Path

from vmoodle.errors import Conflict, Failed, Refused, Unavailable
from vmoodle.installation import Installation
from vmoodle.lifecycle.resources import Holdings
from vmoodle.moodle.php.account import can_write
from vmoodle.operations.plan import StepContext
from vmoodle.registry import ledger
from vmoodle.registry.models import Site

MODE = 0o2770
# A fresh Moodle takes about 10 MB in moodledata, and 36 MB in the database (often the same disk).
FREE_BYTES_NEEDED = 100 * 1024 * 1024


def path_for(installation: Installation, shortname: str) -> Path:
    """Return where a site's moodledata goes; raise Refused for a base that is a trap."""
    base = installation.dataroot_base
    if not base.is_absolute() or ".." in base.parts:
        raise Refused(
            "dataroot.base",
            f"The moodledata base {base} is not an absolute, plain path.",
            "Set sites.dataroot_base in vmoodle.toml to one.",
        )
    refuse_unsafe_base(installation, base)
    return base / shortname


def refuse_unusable(installation: Installation, path: Path) -> None:
    """Raise Conflict when something is there already, Refused when its base leads elsewhere."""
    if path.is_symlink() or path.exists():
        raise Conflict(
            "dataroot.exists",
            f"{path} exists already and VMoodle did not make it.",
            "Choose another shortname, or move it away.",
        )
    refuse_unsafe_base(installation, path.parent)


def refuse_outside(installation: Installation, path: Path) -> None:
    """Raise Refused unless the path is below the base, or by the ledger's word in another base.

    That is a base in which the ledger has a directory. Also when the path is a symlink or a file,
    or its base is not safe to work in.
    """
    below = path.parent == installation.dataroot_base or ledger.has_directory_in(path.parent)
    if not below or ".." in path.parts:
        raise Refused(
            "dataroot.outside",
            f"{path} is not below the moodledata base {installation.dataroot_base}, and the ledger "
            "has no directory beside it.",
            "Set sites.dataroot_base in vmoodle.toml to the base it was ordered in.",
        )
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        raise Refused(
            "dataroot.outside",
            f"{path} leads out of the moodledata base, or is a file.",
            "A site's moodledata is a real directory of its own below the base.",
        )
    refuse_unsafe_base(installation, path.parent)


def refuse_indestructible(installation: Installation, holdings: Holdings) -> None:
    """Raise Refused for a directory that `destroy` would refuse, before anything is destroyed."""
    path = holdings.directory
    if ledger.is_ours(ledger.DIRECTORY, "", str(path), owner=holdings.owner):
        refuse_outside(installation, path)


def refuse_unsafe_base(installation: Installation, base: Path) -> None:
    """Raise Refused for a base that is or lies behind a symlink, or that the web account changes.

    The web account must be able to write neither in the base nor in a directory above it, where it
    could put another in its place. Where VMoodle itself runs as the web account nothing is gained.
    """
    real = Path(os.path.realpath(base))
    if real != base:
        raise Refused(
            "dataroot.base.link",
            f"The moodledata base {base} is a symbolic link or lies behind one, to {real}.",
            f"Set sites.dataroot_base in vmoodle.toml to the directory itself: {real}",
        )
    account = installation.web_account
    if account.pw_uid == os.geteuid():
        return
    for directory in (base, *base.parents):
        if directory.exists() and _can_change(directory, base, account):
            raise Refused(
                "dataroot.base.writable",
                f"The web account {account.pw_name} may change {directory}; in a moodledata base, "
                "and above it, only VMoodle's own account may.",
                f"chown root {directory} && chmod go-w {directory}, or set sites.dataroot_base in "
                "vmoodle.toml to a directory that only VMoodle's account may write.",
            )


def _can_change(directory: Path, base: Path, account: pwd.struct_passwd) -> bool:
    """Tell whether the account can put something into the base, or something else in its place."""
    status = directory.stat()
    if status.st_uid == account.pw_uid:
        return True
    # An access list never gives more than the bits of the group show.
    if not status.st_mode & 0o022 or not can_write(directory, account.pw_name):
        return False
    # In a sticky directory, as /tmp, nobody moves away what is another's.
    return directory == base or not status.st_mode & stat.S_ISVTX


def refuse_full(base: Path, needed: int = FREE_BYTES_NEEDED) -> None:
    """Raise Unavailable when the base's disk has too little space for one more site."""
    existing = next(parent for parent in (base, *base.parents) if parent.exists())
    free = shutil.disk_usage(existing).free
    if free < needed:
        raise Unavailable(
            "dataroot.space",
            f"Only {free // 2**20} MB are free below {existing}.",
            f"A new site needs {needed // 2**20} MB: free space there, or name another "
            "directory in sites.dataroot_base.",
        )


def make(context: StepContext, holdings: Holdings) -> None:
    """Create the directory for the web account alone; raise Unavailable where that cannot be."""
    installation, path = context.installation, holdings.directory
    refuse_outside(installation, path)
    if not ledger.planned_by(ledger.DIRECTORY, "", str(path), operation=context.operation_id):
        refuse_unusable(installation, path)
    ledger.plan(
        ledger.DIRECTORY, "", str(path), owner=holdings.owner, operation=context.operation_id
    )
    # The disk may have filled up since the site was ordered.
    refuse_full(path.parent)
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
    refuse_outside(installation, path)
    for child in path.iterdir():
        if child.is_dir() and not child.is_symlink():
            shutil.rmtree(child)
        else:
            child.unlink()
    _hand_over(installation, path)


def take_over(context: StepContext, path: Path, holdings: Holdings) -> None:
    """Make a directory that the ledger has as the owner's already the owner's moodledata.

    Both are in the base, so that it is one rename; doing it again is no error. Raise Failed
    `dataroot.gone`.
    """
    target = holdings.directory
    for place in (path, target):
        refuse_outside(context.installation, place)
    if not ledger.planned_by(ledger.DIRECTORY, "", str(target), operation=context.operation_id):
        refuse_unusable(context.installation, target)
    ledger.plan(
        ledger.DIRECTORY, "", str(target), owner=holdings.owner, operation=context.operation_id
    )
    if path.exists() and ledger.is_ours(ledger.DIRECTORY, "", str(path), owner=holdings.owner):
        path.rename(target)
    if not target.is_dir():
        raise Failed(
            "dataroot.gone",
            f"{path}, which was to become {target}, is gone.",
            "Somebody removed it: order the site anew.",
        )
    ledger.made(ledger.DIRECTORY, "", str(target))
    ledger.removed(ledger.DIRECTORY, "", str(path))


def exchange(context: StepContext, path: Path, *, new: Path, old: Path) -> None:
    """Put the directory `new` in the place of `path`, and what was there at `old`.

    All three are beside each other in the base. Done again, or from half-way, it ends the same.
    Raise Failed `dataroot.gone`.
    """
    for place in (path, new, old):
        refuse_outside(context.installation, place)
    ledger.plan(ledger.DIRECTORY, "", str(old), owner=context.site, operation=context.operation_id)
    if new.exists():
        if path.exists():
            path.rename(old)
        new.rename(path)
    if not path.is_dir():
        raise Failed(
            "dataroot.gone",
            f"{new}, which was to become {path}, is gone.",
            "Somebody removed it: restore the site from a snapshot.",
        )
    ledger.made(ledger.DIRECTORY, "", str(old))
    ledger.removed(ledger.DIRECTORY, "", str(new))


def destroy(context: StepContext, holdings: Holdings) -> None:
    """Remove the directory when the ledger proves it the owner's; none is no error."""
    destroy_at(context, holdings.directory, owner=holdings.owner)


def destroy_at(context: StepContext, path: Path, *, owner: str) -> None:
    """Remove a directory of the base when the ledger proves it the owner's; none is no error."""
    if ledger.is_ours(ledger.DIRECTORY, "", str(path), owner=owner):
        remove(context.installation, path)
        ledger.removed(ledger.DIRECTORY, "", str(path))


def remove(installation: Installation, path: Path) -> None:
    """Remove a directory of the base, which the caller knows to be ours; none is no error.

    Raise Refused for one outside the base, Unavailable when the disk refuses.
    """
    refuse_outside(installation, path)
    try:
        if path.exists():
            shutil.rmtree(path)
    except OSError as error:
        raise Unavailable(
            "dataroot.unwritable",
            f"{path} cannot be removed: {error.strerror}.",
            "Let VMoodle's account write in the moodledata base; nothing may be mounted in it.",
        ) from error


def _hand_over(installation: Installation, path: Path) -> None:
    account = installation.web_account
    if os.geteuid() == 0:
        os.chown(path, account.pw_uid, account.pw_gid)
    path.chmod(MODE)
