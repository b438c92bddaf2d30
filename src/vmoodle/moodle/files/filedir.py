"""Copies of Moodle's file pool: files share their blocks or their inode where that is safe.

A file below `filedir` is named by the SHA-1 of its content, is never written again, and goes by
`unlink` (Moodle 4.5, lib/filestorage/file_system_filedir.php). So two sites may have one inode:
what one removes, the other keeps. All other directories are written in place, and never share.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import shutil
import stat
import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from vmoodle.errors import Conflict, Failed, NotFound, Refused, Unavailable
from vmoodle.moodle.files.moodledata import CONTENT

Method = Literal["reflink", "hardlink", "copy"]

_DIRECTORY_MODE = 0o2770
_FICLONE = 0x40049409  # Linux: _IOW(0x94, 9, int)
# The calls are short: threads beyond the processors only wait for each other.
_THREADS = min(4, os.cpu_count() or 1)
_PIECE = 1 << 20
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
_NAME = re.compile(r"[0-9a-f]{40}")
# What the kernel says when a method is none of this file system, or none for this one file.
_NEVER = {errno.EXDEV, errno.EOPNOTSUPP, errno.ENOTTY, errno.ENOSYS}
_NOT_THIS_ONE = {errno.EMLINK, errno.EPERM, errno.EACCES, errno.EINVAL}
_LEFT_OUT = ".tmp"  # what Moodle is writing at this moment, and takes another name when whole


@dataclass
class FiledirCopy:
    """Say how many files a copy made by which method, how many were there, and their bytes."""

    reflink: int = 0
    hardlink: int = 0
    copy: int = 0
    present: int = 0
    bytes: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    @property
    def files(self) -> int:
        """Return how many files the target now has of the source."""
        return self.reflink + self.hardlink + self.copy + self.present

    @property
    def method(self) -> Method:
        """Return the method that made most of the files."""
        methods: tuple[Method, ...] = ("reflink", "hardlink", "copy")
        return max(methods, key=lambda method: int(getattr(self, method)))

    def add(self, other: FiledirCopy) -> None:
        """Count in what a thread has done."""
        with self._lock:
            for name in ("reflink", "hardlink", "copy", "present", "bytes"):
                setattr(self, name, getattr(self, name) + getattr(other, name))


def copy_filedir(
    source: Path,
    target: Path,
    *,
    owner: tuple[int, int] = (-1, -1),
    directory_mode: int = _DIRECTORY_MODE,
    methods: Sequence[Method] = ("reflink", "hardlink", "copy"),
    verify: bool = False,
) -> FiledirCopy:
    """Copy the content of one moodledata directory into another that exists.

    `owner` is the uid and gid of what is made; (-1, -1) leaves them the caller's. Each file is made
    by the first of `methods` that works; hard links only for files that have that owner already,
    for they share owner and mode with their source. To repeat what was cut off makes the rest.
    With `verify` every content is compared with its name.

    The source may be in use: what vanishes meanwhile is left out, what Moodle is writing too.
    Raise NotFound (`filedir.missing`), Refused (`filedir.link`) for a symbolic link, Conflict
    (`filedir.differs`) for another file in the target's place, Failed (`filedir.damaged`) for a
    content that is not its name's, Unavailable (`filedir.unwritable`).
    """
    for place in (source, target):
        if not place.is_dir():
            raise NotFound(
                "filedir.missing", f"{place} is no directory.", "Give moodledata directories."
            )
    report = FiledirCopy()
    try:
        for name, layout in CONTENT.items():
            if (source / name).is_symlink():
                raise _symlink(str(source / name))
            if (source / name).is_dir():
                pool = layout == "filedir"
                _Job(
                    source / name, target / name, owner, directory_mode, methods, verify, pool
                ).run(report)
    except OSError as error:
        raise _unwritable(target, error) from error
    return report


def copy_contents(
    source: Path,
    target: Path,
    names: Iterable[str],
    *,
    owner: tuple[int, int] = (-1, -1),
    verify: bool = False,
) -> FiledirCopy:
    """Copy contents of one file pool into another by their hashes; raise as `copy_filedir`.

    What the source has not is left out.
    """
    report = FiledirCopy()
    job = _Job(
        source, target, owner, _DIRECTORY_MODE, ("reflink", "hardlink", "copy"), verify, pool=True
    )
    try:
        job.make_directory(str(target))
        for name in names:
            below = f"{name[:2]}/{name[2:4]}"
            path = f"{source}/{below}/{name}"
            if not os.path.isfile(path) or os.path.islink(path):  # noqa: PTH113, PTH114
                continue
            job.make_directory(f"{target}/{name[:2]}")
            job.make_directory(f"{target}/{below}")
            job.copy_file(path, name, f"{target}/{below}", report)
    except OSError as error:
        raise _unwritable(target, error) from error
    return report


def copy_tree(source: Path, target: Path, *, owner: tuple[int, int] = (-1, -1)) -> FiledirCopy:
    """Copy one directory of moodledata, of which nothing is shared; raise as `copy_filedir`."""
    report = FiledirCopy()
    if source.is_symlink():
        raise _symlink(str(source))
    try:
        _Job(source, target, owner, _DIRECTORY_MODE, ("reflink", "copy"), False, False).run(report)
    except OSError as error:
        raise _unwritable(target, error) from error
    return report


@dataclass(frozen=True)
class _Job:
    source: Path
    target: Path
    owner: tuple[int, int]
    mode: int
    methods: Sequence[Method]
    verify: bool
    pool: bool
    unusable: set[Method] = field(default_factory=set)

    def run(self, report: FiledirCopy) -> None:
        """Copy the tree, its first level spread over threads."""
        self.make_directory(str(self.target))
        with os.scandir(self.source) as found:
            entries = list(found)
        mine = FiledirCopy()
        branches = []
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                branches.append(entry.name)
            else:
                self._copy_entry(entry, str(self.target), mine)
        report.add(mine)
        stop = threading.Event()
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="filedir") as threads:
            jobs = [threads.submit(self._branch, name, report, stop) for name in branches]
            try:
                for job in jobs:
                    job.result()
            except BaseException:
                stop.set()
                raise

    def _branch(self, name: str, report: FiledirCopy, stop: threading.Event) -> None:
        if stop.is_set():
            return
        mine = FiledirCopy()
        self._tree(f"{self.source}/{name}", f"{self.target}/{name}", mine)
        report.add(mine)

    def _tree(self, source: str, target: str, report: FiledirCopy) -> None:
        try:
            with os.scandir(source) as found:
                entries = list(found)
        except FileNotFoundError:  # removed meanwhile
            return
        self.make_directory(target)
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                self._tree(entry.path, f"{target}/{entry.name}", report)
            else:
                self._copy_entry(entry, target, report)

    # Tens of thousands of files: a Path for each would take as long as the system call.
    def make_directory(self, path: str) -> None:
        """Make a directory as Moodle's are, or give one that is there owner and mode."""
        try:
            os.mkdir(path, 0o700)  # noqa: PTH102
        except FileExistsError:
            if not stat.S_ISDIR(os.lstat(path).st_mode):
                raise _in_the_way(path) from None
        if self.owner != (-1, -1):
            os.chown(path, *self.owner)
        os.chmod(path, self.mode)  # noqa: PTH101

    def _copy_entry(self, entry: os.DirEntry[str], directory: str, report: FiledirCopy) -> None:
        if entry.is_symlink():
            raise _symlink(entry.path)
        is_written = self.pool and entry.name.endswith(_LEFT_OUT)
        if is_written or not entry.is_file(follow_symlinks=False):
            return
        self.copy_file(entry.path, entry.name, directory, report)

    def copy_file(self, source: str, name: str, directory: str, report: FiledirCopy) -> None:
        """Copy one plain file into a directory that is there; nothing for one that is gone."""
        try:
            facts = os.lstat(source)
            done = self._copy_file(source, name, f"{directory}/{name}", facts)
        except FileNotFoundError:
            if os.path.lexists(source):
                raise
            return  # removed meanwhile
        setattr(report, done, getattr(report, done) + 1)
        report.bytes += facts.st_size

    def _copy_file(
        self, source: str, name: str, target: str, facts: os.stat_result
    ) -> Method | Literal["present"]:
        immutable = self.pool and _NAME.fullmatch(name) is not None
        if immutable and self.verify:
            _require_content(source, name)
        may_link = immutable and self._has_owner(facts)
        for method in self.methods:
            if method in self.unusable or (method == "hardlink" and not may_link):
                continue
            try:
                if method == "hardlink":
                    os.link(source, target)
                elif _is_there(target, facts, immutable):
                    return "present"
                else:
                    self._write(source, target, facts, method)
            except FileExistsError:
                _is_there(target, facts, immutable)
                return "present"
            except OSError as error:
                if error.errno in _NEVER:
                    self.unusable.add(method)
                elif error.errno not in _NOT_THIS_ONE or method == "copy":
                    raise
            else:
                return method
        raise OSError(errno.EOPNOTSUPP, "none of the allowed methods works for it", target)

    def _has_owner(self, facts: os.stat_result) -> bool:
        wanted = zip(self.owner, (facts.st_uid, facts.st_gid), strict=True)
        return all(want in (-1, has) for want, has in wanted)

    def _write(self, source: str, target: str, facts: os.stat_result, method: Method) -> None:
        """Make a file of its own that takes its name only when it is whole."""
        beside = target + _LEFT_OUT
        with open(source, "rb") as read:  # noqa: PTH123
            try:
                descriptor = os.open(beside, _NEW_FILE, 0o600)
            except OSError as error:
                if error.errno == errno.ELOOP:
                    raise _in_the_way(beside) from error
                raise
            with os.fdopen(descriptor, "wb") as write:
                try:
                    if method == "reflink":
                        fcntl.ioctl(descriptor, _FICLONE, read.fileno())
                    else:
                        shutil.copyfileobj(read, write, _PIECE)
                        write.flush()
                    if self.owner != (-1, -1):
                        os.fchown(descriptor, *self.owner)
                    os.fchmod(descriptor, stat.S_IMODE(facts.st_mode))
                    os.utime(descriptor, ns=(facts.st_atime_ns, facts.st_mtime_ns))
                except OSError:
                    os.unlink(beside)  # noqa: PTH108
                    raise
        os.replace(beside, target)  # noqa: PTH105


def _is_there(target: str, facts: os.stat_result, immutable: bool) -> bool:
    """Tell whether the target is made already; raise Conflict for something else in its place."""
    try:
        found = os.lstat(target)
    except FileNotFoundError:
        return False
    if not stat.S_ISREG(found.st_mode):
        raise _in_the_way(target)
    if not immutable:
        return (found.st_size, found.st_mtime_ns) == (facts.st_size, facts.st_mtime_ns)
    if found.st_size != facts.st_size:
        raise _in_the_way(target)
    return True


def _require_content(path: str, name: str) -> None:
    with open(path, "rb") as file:  # noqa: PTH123
        found = hashlib.file_digest(file, "sha1").hexdigest()
    if found != name:
        raise Failed(
            "filedir.damaged",
            f"{path} does not hold what its name says.",
            "Restore the file from a backup, or remove it: Moodle shows it as missing then.",
        )


def _unwritable(target: Path, error: OSError) -> Unavailable:
    return Unavailable(
        "filedir.unwritable",
        f"{error.filename2 or error.filename or target} cannot be copied: {error.strerror}.",
        "Check free space and rights, then try again: what is copied is kept.",
    )


def _symlink(path: str) -> Refused:
    return Refused(
        "filedir.link",
        f"{path} is a symbolic link, which Moodle never makes there.",
        "Put what it leads to in its place, or remove it.",
    )


def _in_the_way(path: str) -> Conflict:
    return Conflict(
        "filedir.differs",
        f"{path} is something else than the copy would be.",
        "Empty the target, then copy again.",
    )
