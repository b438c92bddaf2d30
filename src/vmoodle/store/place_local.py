"""A store in a directory: objects are flushed to the disk before they get their name."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from vmoodle.errors import NotFound
from vmoodle.store.address import StoreAddress
from vmoodle.store.durable import sync, sync_all
from vmoodle.store.place import (
    FAN_OUT,
    Entry,
    Guarded,
    denied,
    full,
    head_beside,
    is_nobodys,
    remove_until,
    unreachable,
)

_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_RIGHTS = {errno.EACCES, errno.EPERM, errno.EROFS}
_BATCH = 1000
_BATCH_BYTES = 256 << 20


@dataclass(frozen=True)
class _Written:
    temporary: Path
    final: Path


class LocalPlace:
    """Keep objects as files, 0600 in directories 0700.

    fsspec's local file system flushes nothing and overwrites; this one does neither.
    """

    def __init__(self, address: StoreAddress) -> None:
        self.address = address
        self.parallel = min(8, 2 + (os.cpu_count() or 1))
        self._root = Path(address.path)
        self.spool: Path | None = self._root / "tmp"
        self._lock = threading.Lock()
        self._batches = 0
        self._waiting: list[_Written] = []
        self._waiting_bytes = 0

    def prepare(self, *, create: bool) -> None:
        with self._errors():
            if not self._root.is_dir():
                if not create:
                    raise NotFound(
                        "store.missing",
                        f"There is no store at {self.address.display()}.",
                        "Check the path; is the disk mounted?",
                    )
                self._root.mkdir(mode=0o700, parents=True, exist_ok=True)

    def is_empty(self) -> bool:
        with self._errors():
            return all(is_nobodys(child.name) for child in self._root.iterdir())

    def list(self, folder: str) -> Iterator[Entry]:
        with self._errors():
            yield from self._entries(self._root / folder if folder else self._root, folder)

    def _entries(self, directory: Path, folder: str) -> Iterator[Entry]:
        try:
            scan = os.scandir(directory)
        except FileNotFoundError:
            return
        with scan:
            for item in scan:
                if item.is_dir(follow_symlinks=False):
                    if folder == FAN_OUT and directory.name == FAN_OUT:
                        yield from self._entries(Path(item.path), folder)
                    continue
                try:
                    status = item.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                when = datetime.fromtimestamp(status.st_mtime, UTC)
                yield Entry(item.name, status.st_size, when)

    def read(self, folder: str, name: str, size: int) -> AbstractContextManager[Guarded]:  # noqa: ARG002
        with self._errors():
            return closing(Guarded(self._path(folder, name).open("rb"), self._errors))

    def exists(self, folder: str, name: str) -> bool:
        with self._errors():
            return self._path(folder, name).exists()

    def write(self, folder: str, name: str, data: bytes, *, replace: bool = False) -> None:
        with self._errors():
            temporary = self._temporary() if folder else self._root / head_beside()
            try:
                descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with os.fdopen(descriptor, "wb") as file:
                    file.write(data)
                    if folder != FAN_OUT or not self._batches:
                        file.flush()
                        os.fsync(file.fileno())
                final = self._path(folder, name)
                if replace:
                    final.parent.mkdir(mode=0o700, exist_ok=True)
                    temporary.replace(final)
                    return
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
            self._settle(folder, _Written(temporary, final), len(data))

    def write_file(self, folder: str, name: str, path: Path) -> None:
        with self._errors():
            # Under a name of the place's own: the giver removes its file when this returns.
            temporary = path.rename(self._temporary())
            written = _Written(temporary, self._path(folder, name))
            try:
                if folder != FAN_OUT or not self._batches:
                    sync(temporary)
                size = temporary.stat().st_size
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
            self._settle(folder, written, size)

    def remove(self, folder: str, name: str) -> None:
        with self._errors():
            self._path(folder, name).unlink(missing_ok=True)

    @contextmanager
    def batch(self) -> Iterator[None]:
        with self._lock:
            self._batches += 1
        try:
            yield
        finally:
            with self._lock, self._errors():
                self._batches -= 1
                self._commit()

    def sweep(self, before: datetime) -> int:
        return remove_until(before, self, "tmp")

    def _path(self, folder: str, name: str) -> Path:
        place = self._root / folder
        return (place / name[:2] if folder == FAN_OUT else place) / name

    def _temporary(self) -> Path:
        directory = self._root / "tmp"
        directory.mkdir(mode=0o700, exist_ok=True)
        return directory / f"{os.getpid()}-{os.urandom(8).hex()}"

    def _settle(self, folder: str, written: _Written, size: int) -> None:
        with self._lock:
            if folder != FAN_OUT:
                # A manifest must not be there before what it refers to.
                self._commit()
            elif self._batches:
                self._waiting.append(written)
                self._waiting_bytes += size
                if len(self._waiting) >= _BATCH or self._waiting_bytes >= _BATCH_BYTES:
                    self._commit()
                return
        try:
            self._name(written)
        except BaseException:
            written.temporary.unlink(missing_ok=True)
            raise
        sync(written.final.parent)

    def _commit(self) -> None:
        """Flush what waits with one call for all, then name it: a name never stands for a hole."""
        waiting, self._waiting, self._waiting_bytes = self._waiting, [], 0
        if not waiting:
            return
        try:
            sync_all(self._root, [written.temporary for written in waiting])
            for written in waiting:
                self._name(written)
            sync_all(self._root, list({written.final.parent for written in waiting}))
        except BaseException:
            for written in waiting:
                written.temporary.unlink(missing_ok=True)
            raise

    def _name(self, written: _Written) -> None:
        """Give a file its name unless that is taken; unlike a rename, a link overwrites nothing."""
        try:
            self._link(written)
        except FileNotFoundError:
            written.final.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            sync(written.final.parent.parent)
            self._link(written)
        written.temporary.unlink(missing_ok=True)

    def _link(self, written: _Written) -> None:
        try:
            os.link(written.temporary, written.final)
        except FileExistsError:
            return
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            if not written.final.exists():
                written.temporary.rename(written.final)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise
        except OSError as error:
            if error.errno in _SPACE:
                raise full(self.address) from error
            if error.errno in _RIGHTS:
                raise denied(self.address) from error
            raise unreachable(self.address, error.strerror or "input/output error") from error
