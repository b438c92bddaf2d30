"""Room for copies of sites: on the database server, where that can be seen, and for files."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from vmoodle.engines.disk import free_bytes
from vmoodle.errors import Unavailable
from vmoodle.installation import Installation
from vmoodle.lifecycle import dataroot
from vmoodle.registry.models import DatabaseServer, Site

UPGRADE_FACTOR = 2
"""Of a copy's size: the copy, and what Moodle's upgrade makes anew of it."""


def refuse_full_server(installation: Installation, server: DatabaseServer, needed: int) -> None:
    """Raise Unavailable `upgrade.rehearsal.space` where a server has less room than is needed."""
    free = free_bytes(installation.engine(server))
    if free is not None and free < needed:
        raise _full(f"The disk of the database server {server.name}", free, needed)


def refuse_full_dataroot(installation: Installation, sizes: Sequence[int]) -> None:
    """Raise Unavailable `upgrade.rehearsal.space` where copies of so many bytes do not fit."""
    base = installation.dataroot_base
    existing = next(parent for parent in (base, *base.parents) if parent.exists())
    needed = sum(sizes) + len(sizes) * dataroot.FREE_BYTES_NEEDED
    free = shutil.disk_usage(existing).free
    if free < needed:
        raise _full(f"The disk of the moodledata base {base}", free, needed)


def bytes_of_files(installation: Installation, site: Site) -> int:
    """Return what a copy of a site's files takes: nothing on the same disk, where files are linked.

    A file system that can do neither links nor shared blocks is not foreseen here.
    """
    source, base = Path(site.dataroot), installation.dataroot_base
    existing = next(parent for parent in (base, *base.parents) if parent.exists())
    if source.stat().st_dev == existing.stat().st_dev:
        return 0
    pool = source / "filedir"
    return sum(path.lstat().st_size for path in pool.rglob("*") if path.is_file())


def _full(where: str, free: int, needed: int) -> Unavailable:
    return Unavailable(
        "upgrade.rehearsal.space",
        f"{where} has {free >> 20} MB free; the copies and their upgrade need {needed >> 20} MB.",
        "Free space there, or rehearse fewer or smaller sites.",
    )
