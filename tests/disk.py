"""A small disk for tests of what happens when it is full."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(size: int) -> Iterator[Path]:
    """Yield where a file system of so many bytes is mounted; skip where none may be mounted."""
    place = Path(tempfile.mkdtemp(prefix="vmoodle-disk-"))
    options = f"size={size},mode=0711"
    mounted = os.geteuid() == 0 and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "vmoodle-test", str(place)],
        capture_output=True, check=False,
    ).returncode == 0  # fmt: skip
    try:
        if not mounted:
            pytest.skip("only root of a machine that allows it can mount a small disk")
        yield place
    finally:
        if mounted:
            subprocess.run(["umount", str(place)], check=True)
        place.rmdir()


def fill(disk: Path, leave: int = 0) -> None:
    """Write a file that leaves so many bytes free."""
    with (disk / "filler").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(disk).free - leave)


@pytest.fixture(params=["xfs", "btrfs"])
def sharing_disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """Mount a file system that shares blocks, where this machine lets us."""
    make = shutil.which(f"mkfs.{request.param}")
    if not make or os.geteuid() != 0:
        pytest.skip(f"mkfs.{request.param} is missing, or this is not root")
    image, place = tmp_path / "image", tmp_path / "disk"
    with image.open("wb") as file:
        file.truncate(320 << 20)
    place.mkdir()
    for command in ([make, "-q", str(image)], ["mount", "-o", "loop", str(image), str(place)]):
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        if ended.returncode:
            pytest.skip(f"{command[0]}: {ended.stderr.strip()}")
    yield place
    subprocess.run(["umount", str(place)], check=True)
