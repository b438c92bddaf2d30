"""What of moodledata an upgrade may change, and how it is put back: caches, and their settings.

The safety copy is of the database. In moodledata Moodle's upgrade writes caches, `localcache` and
`muc/config.php`, which says how the caches are kept. What a plugin's own upgrade step does to
files in `filedir`, `lang` or `repository` is not taken back: content is only added to `filedir`,
which is named by content, and the old database does not know of it.
"""

from __future__ import annotations

import os
import secrets
import shutil
from contextlib import suppress
from pathlib import Path

from vmoodle.files import write_atomically
from vmoodle.installation import Installation
from vmoodle.lifecycle.script import run_on_one
from vmoodle.moodle.caches.muc import shared_stores
from vmoodle.operations.plan import StepContext
from vmoodle.registry import sites
from vmoodle.registry.forced import ForcedSettings
from vmoodle.registry.models import Site

_CACHES = {"cache": "cachedir", "localcache": "localcachedir"}
_MUC = "muc/config.php"


def keep_settings(context: StepContext) -> None:
    """Keep how the site's caches are set up, until `forget`; again is no error.

    An empty file is kept where nobody has set them up.
    """
    site = sites.find(context.site)
    try:
        content = _read(Path(site.dataroot) / _MUC)
    except FileNotFoundError:
        content = b""
    write_atomically(_kept(context), content, mode=0o600)


def put_back(context: StepContext) -> None:
    """Give the site the cache settings it had, and drop what was cached meanwhile."""
    site = sites.find(context.site)
    if _kept(context).exists():
        content = _kept(context).read_bytes()
        if content:
            _write(context.installation, Path(site.dataroot) / _MUC, content)
        else:
            _remove(Path(site.dataroot) / _MUC)
    drop_caches(context)


def drop_caches(context: StepContext) -> None:
    """Drop what the site has cached."""
    site = sites.find(context.site)
    for directory in _directories(site):
        if directory.is_symlink():
            context.say(f"{directory.name} is a symbolic link and was not emptied")
        elif directory.is_dir():
            aside = directory.with_name(f".vmoodle-dropped-{secrets.token_hex(6)}")
            directory.rename(aside)
            shutil.rmtree(aside, ignore_errors=True)
    if shared_stores(Path(site.dataroot), site.table_prefix):
        # Only Moodle knows all of its keys in Redis or memcached.
        ended = run_on_one(context.installation, context.site, ["admin/cli/purge_caches.php"])
        if ended.exit_status != 0:
            context.say("Moodle's caches could not be purged; purge them by hand")


def forget(context: StepContext) -> None:
    """Let go of what was kept."""
    _kept(context).unlink(missing_ok=True)


def _directories(site: Site) -> list[Path]:
    forced = ForcedSettings().of(site, sites.label_values(site)).get("", {})
    found = [Path(site.dataroot) / name for name in _CACHES]
    for setting in _CACHES.values():
        if isinstance(base := forced.get(setting), str) and base:
            found.append(Path(base.rstrip("/")) / site.shortname)
    return found


def _kept(context: StepContext) -> Path:
    operation_id = context.parameters.get("upgrade_operation", context.operation_id)
    return kept_settings(context.installation, str(operation_id))


def kept_settings(installation: Installation, operation_id: str) -> Path:
    """Return where the cache settings are that a site had before an upgrade."""
    return installation.home.run / f"upgrade-{operation_id}.muc"


def _read(path: Path) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        return file.read()


def _write(installation: Installation, path: Path, content: bytes) -> None:
    """Put a file of the web account's in its place; no link that it may have laid is followed."""
    with suppress(FileNotFoundError):
        if _read(path) == content:
            return
    directory = _open_directory(path.parent)
    try:
        beside = f".config-{secrets.token_hex(6)}.php"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(beside, flags, 0o660, dir_fd=directory), "wb") as file:
            file.write(content)
            if installation.owner_ids:
                os.fchown(file.fileno(), *installation.owner_ids)
        os.rename(beside, path.name, src_dir_fd=directory, dst_dir_fd=directory)
    finally:
        os.close(directory)


def _remove(path: Path) -> None:
    """Remove a file of the web account's; no link that it may have laid is followed."""
    with suppress(FileNotFoundError):
        directory = _open_directory(path.parent)
        try:
            os.unlink(path.name, dir_fd=directory)
        finally:
            os.close(directory)


def _open_directory(path: Path) -> int:
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
