"""Copies of the file pool: as cheap as the file system allows, and never at the source's cost."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from pathlib import Path

import pytest
from tests.disk import sharing_disk

from vmoodle.errors import Conflict, Failed, NotFound, Refused, Unavailable
from vmoodle.moodle.files import filedir
from vmoodle.moodle.files.filedir import FiledirCopy, copy_filedir

__all__ = ["sharing_disk"]

CONTENTS = [b"", b"one", b"two" * 1000, *(os.urandom(5000) for _ in range(40))]


def fill(root: Path) -> Path:
    """Make a moodledata with a pool, a language pack, and what no copy takes."""
    for content in CONTENTS:
        pool_file(root, content)
    (root / "filedir" / "warning.txt").write_text("do not touch")
    (root / "lang" / "de").mkdir(parents=True)
    (root / "lang" / "de" / "moodle.php").write_text("<?php // Ünï")
    for left_out in ("cache", "sessions", "secret/key"):
        (root / left_out).mkdir(parents=True)
        (root / left_out / "x").write_text("secret")
    return root


def pool_file(root: Path, content: bytes) -> Path:
    """Put a content into the pool as Moodle does."""
    name = hashlib.sha1(content).hexdigest()  # noqa: S324 - Moodle's own naming
    path = root / "filedir" / name[:2] / name[2:4] / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def contents(root: Path) -> dict[str, bytes]:
    """Return every file below a directory with what it holds."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def expected(source: Path) -> dict[str, bytes]:
    """Return what a copy of the source holds."""
    return {
        name: content
        for name, content in contents(source).items()
        if name.startswith(("filedir/", "lang/"))
    }


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Return a filled moodledata."""
    return fill(tmp_path / "source")


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """Return an empty moodledata."""
    path = tmp_path / "target"
    path.mkdir()
    return path


def without_reflink(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the file system one that cannot share blocks, whatever it is."""

    def refuse(*_arguments: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "not supported")

    monkeypatch.setattr(filedir.fcntl, "ioctl", refuse)


def test_pool_files_are_linked_and_language_packs_copied(
    source: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_reflink(monkeypatch)
    report = copy_filedir(source, target)
    assert contents(target) == expected(source)
    assert (report.hardlink, report.copy, report.present) == (len(CONTENTS), 2, 0)
    assert report.method == "hardlink"
    assert report.files == len(CONTENTS) + 2
    assert report.bytes == sum(map(len, expected(source).values()))
    for name in expected(source):
        same = (source / name).samefile(target / name)
        assert same == (name.startswith("filedir/") and "warning" not in name), name


def test_what_one_site_does_never_hurts_the_other(
    source: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_reflink(monkeypatch)
    before = contents(source)
    copy_filedir(source, target)
    (target / "lang" / "de" / "moodle.php").write_text("changed")
    shutil.rmtree(target / "filedir")
    assert contents(source) == before


def test_a_copy_that_was_cut_off_is_completed(
    source: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, written = filedir._Job._copy_entry, []

    def fail_after_ten(self: object, *arguments: object) -> None:
        written.append(1)
        if len(written) > 10:
            raise OSError(errno.ENOSPC, "No space left on device")
        plain(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(filedir._Job, "_copy_entry", fail_after_ten)
    with pytest.raises(Unavailable) as caught:
        copy_filedir(source, target)
    assert caught.value.code == "filedir.unwritable"
    monkeypatch.undo()
    first = contents(target)
    assert 0 < len(first) <= 11
    assert first.items() <= expected(source).items()
    report = copy_filedir(source, target)
    assert contents(target) == expected(source)
    assert report.present == len(first)
    assert copy_filedir(source, target).present == len(expected(source))


def test_a_file_that_was_half_written_is_written_again(source: Path, target: Path) -> None:
    name = next(name for name in expected(source) if len(name) > 40)
    (target / name).parent.mkdir(parents=True)
    (target / f"{name}.tmp").write_text("half")
    copy_filedir(source, target, methods=("copy",))
    assert contents(target) == expected(source)


def test_owner_and_modes_are_those_asked_for(source: Path, target: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root gives files away")
    linked = pool_file(source, b"already the web account's")
    os.chown(linked, 12345, 12346)
    report = copy_filedir(source, target, owner=(12345, 12346), methods=("hardlink", "copy"))
    assert (report.hardlink, report.copy) == (1, len(CONTENTS) + 2)
    for path in (*target.rglob("*"),):
        facts = path.stat()
        assert (facts.st_uid, facts.st_gid) == (12345, 12346)
        assert not path.is_dir() or facts.st_mode & 0o7777 == 0o2770
    owners = {path.stat().st_uid for path in source.rglob("*") if path != linked}
    assert owners == {os.geteuid()}
    assert contents(target) == expected(source)


def test_a_file_with_too_many_names_is_copied(
    source: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = pool_file(source, b"one")
    link = os.link

    def limited(path: str, new: str) -> None:
        if path == str(full):
            raise OSError(errno.EMLINK, "Too many links")
        link(path, new)

    monkeypatch.setattr(filedir.os, "link", limited)
    report = copy_filedir(source, target, methods=("hardlink", "copy"))
    assert (report.hardlink, report.copy) == (len(CONTENTS) - 1, 3)
    assert contents(target) == expected(source)


def test_another_file_system_gets_copies(source: Path) -> None:
    memory = Path("/dev/shm")  # noqa: S108
    if not memory.is_dir() or memory.stat().st_dev == source.stat().st_dev:
        pytest.skip("no second file system here")
    target = memory / f"vmoodle-filedir-{os.getpid()}"
    target.mkdir()
    try:
        report = copy_filedir(source, target)
        assert report.method == "copy"
        assert (report.reflink, report.hardlink) == (0, 0)
        assert contents(target) == expected(source)
    finally:
        shutil.rmtree(target)


@pytest.mark.parametrize(
    "place",
    ["filedir", "filedir/aa", "filedir/aa/bb", "filedir/aa/bb/" + "a" * 40, "lang/de/x.php"],
)
def test_a_symbolic_link_in_the_source_is_refused(
    source: Path, target: Path, tmp_path: Path, place: str
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "passwd").write_text("secret")
    link = source / place
    if link.is_dir():
        shutil.rmtree(link)
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(outside)
    with pytest.raises(Refused) as caught:
        copy_filedir(source, target)
    assert caught.value.code == "filedir.link"
    assert str(link) in caught.value.message
    assert b"secret" not in contents(target).values()


@pytest.mark.parametrize("method", ["hardlink", "copy"])
def test_nothing_is_written_through_a_symbolic_link_in_the_target(
    source: Path, target: Path, tmp_path: Path, method: filedir.Method
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (target / "filedir").symlink_to(outside)
    with pytest.raises(Conflict):
        copy_filedir(source, target, methods=(method, "copy"))
    (target / "filedir").unlink()

    name = next(name for name in expected(source) if len(name) > 40)
    (target / name).parent.mkdir(parents=True)
    victim = outside / "victim"
    victim.write_text("precious")
    for suffix in ("", ".tmp"):
        (target / (name + suffix)).symlink_to(victim)
        with pytest.raises(Conflict) as caught:
            copy_filedir(source, target, methods=("copy",))
        assert caught.value.code == "filedir.differs"
        (target / (name + suffix)).unlink()
    assert victim.read_text() == "precious"


def test_another_file_under_a_pool_name_is_a_conflict(source: Path, target: Path) -> None:
    name = next(name for name in expected(source) if len(name) > 40)
    (target / name).parent.mkdir(parents=True)
    (target / name).write_bytes(b"x" * 4)
    with pytest.raises(Conflict) as caught:
        copy_filedir(source, target)
    assert caught.value.code == "filedir.differs"
    assert (target / name).read_bytes() == b"x" * 4


def test_a_content_that_is_not_its_names_is_found_when_asked(source: Path, target: Path) -> None:
    damaged = pool_file(source, b"was this")
    damaged.write_bytes(b"is  that")
    with pytest.raises(Failed) as caught:
        copy_filedir(source, target, verify=True)
    assert caught.value.code == "filedir.damaged"
    assert str(damaged) in caught.value.message
    copy_filedir(source, target)


def test_what_is_being_written_or_vanishes_is_left_out(
    source: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    being_written = pool_file(source, b"half").rename(
        source / "filedir" / (hashlib.sha1(b"half").hexdigest() + ".tmp")  # noqa: S324
    )
    vanishing = pool_file(source, b"soon gone")
    plain = filedir._Job._copy_file

    def vanish(self: object, path: str, *arguments: object) -> object:
        if path == str(vanishing):
            vanishing.unlink()
        return plain(self, path, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(filedir._Job, "_copy_file", vanish)
    report = copy_filedir(source, target)
    being_written.unlink()
    assert contents(target) == expected(source)
    assert report.files == len(expected(source))


def test_a_moodledata_without_pool_or_packs_gives_an_empty_copy(tmp_path: Path) -> None:
    source, target = tmp_path / "a", tmp_path / "b"
    source.mkdir()
    with pytest.raises(NotFound):
        copy_filedir(source, target)
    target.mkdir()
    assert copy_filedir(source, target) == FiledirCopy()


def test_blocks_are_shared_where_the_file_system_can(sharing_disk: Path) -> None:
    source, target = fill(sharing_disk / "source"), sharing_disk / "target"
    large = pool_file(source, os.urandom(40 << 20))
    target.mkdir()

    def free() -> int:
        os.sync()
        return shutil.disk_usage(sharing_disk).free

    before = free()
    report = copy_filedir(source, target)
    assert before - free() < 10 << 20
    # An empty file shares nothing, and is a file of its own all the same.
    assert report.reflink == report.files == len(expected(source))
    assert contents(target) == expected(source)
    copied = target / large.relative_to(source)
    assert not copied.samefile(large)
    with copied.open("r+b") as file:
        file.write(b"changed")
    assert not large.read_bytes().startswith(b"changed")
