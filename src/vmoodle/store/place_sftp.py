"""A store in a directory of an SSH server, through fsspec and paramiko."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from stat import S_ISDIR
from typing import BinaryIO, cast

import paramiko
from fsspec.implementations.sftp import SFTPFileSystem

from vmoodle.errors import NotFound, Refused, Unavailable, VMoodleError
from vmoodle.store.address import StoreAddress, StoreCredentials
from vmoodle.store.place import (
    FAN_OUT,
    Entry,
    Guarded,
    denied,
    full,
    head_beside,
    is_nobodys,
    login,
    remove_until,
    unreachable,
)

_TIMEOUT = 15
_BUFFER = 1 << 20
_ASIDE = "tmp"


class _KnownHosts(SFTPFileSystem):  # type: ignore[misc]
    """fsspec's file system over SFTP, for known hosts only, with a channel for each thread.

    paramiko drops the answers of one thread while another waits on the same channel.
    """

    cachable = False

    def __init__(self, host: str, known_hosts: str | None, **ssh: object) -> None:
        self._known_hosts = known_hosts
        self._channels = threading.local()
        super().__init__(host, host_key_policy="reject", **ssh)

    def _connect(self) -> None:
        self.client = paramiko.SSHClient()
        self.client.load_system_host_keys(self._known_hosts)
        self.client.set_missing_host_key_policy(self.host_key_policy)
        self.client.connect(self.host, **self.ssh_kwargs)

    @property
    def ftp(self) -> paramiko.SFTPClient:
        channel: paramiko.SFTPClient | None = getattr(self._channels, "value", None)
        if channel is None:
            channel = self._channels.value = self.client.open_sftp()
        return channel


class SFTPPlace:
    """Keep objects as files of an SSH server: written beside, then renamed.

    Whether the server flushes them to its disk is the server's affair: SFTP has no word for it.
    """

    def __init__(self, address: StoreAddress, credentials: StoreCredentials) -> None:
        self.address = address
        self.parallel = 4
        self.spool: Path | None = None
        self._made: set[str] = set()
        # `/~/store` is below the account's home, as in other programs that take such URLs.
        self._root = address.path[3:] if address.path.startswith("/~/") else address.path
        with self._errors():
            self._fs = _KnownHosts(
                address.host,
                address.options.get("known_hosts"),
                port=address.port or 22,
                username=credentials.user or None,
                password=credentials.password.reveal() or None,
                key_filename=address.options.get("identity"),
                timeout=_TIMEOUT,
                banner_timeout=_TIMEOUT,
                auth_timeout=_TIMEOUT,
            )

    def prepare(self, *, create: bool) -> None:
        with self._errors():
            if self._is_directory(self._root):
                return
            if not create:
                raise NotFound(
                    "store.missing",
                    f"There is no store at {self.address.display()}.",
                    "Check the path on the server.",
                )
            parts = self._root.split("/")
            for length in range(1, len(parts) + 1):
                self._make("/".join(parts[:length]))

    def is_empty(self) -> bool:
        with self._errors():
            return all(is_nobodys(name) for name in self._fs.ftp.listdir(self._root))

    def list(self, folder: str) -> Iterator[Entry]:
        with self._errors():
            yield from self._entries(f"{self._root}/{folder}" if folder else self._root, folder)

    def _entries(self, directory: str, folder: str) -> Iterator[Entry]:
        try:
            items = self._fs.ftp.listdir_attr(directory)
        except FileNotFoundError:
            return
        for item in items:
            if S_ISDIR(item.st_mode or 0):
                if folder == FAN_OUT and directory == f"{self._root}/{FAN_OUT}":
                    yield from self._entries(f"{directory}/{item.filename}", folder)
                continue
            when = datetime.fromtimestamp(item.st_mtime or 0, UTC)
            yield Entry(item.filename, item.st_size or 0, when)

    def read(self, folder: str, name: str, size: int) -> AbstractContextManager[Guarded]:
        with self._errors():
            file = self._fs.ftp.open(self._path(folder, name), "rb", _BUFFER)
            if size > _BUFFER:
                file.prefetch(file.stat().st_size, 64)
            return closing(Guarded(cast(BinaryIO, file), self._errors))

    def exists(self, folder: str, name: str) -> bool:
        try:
            with self._errors():
                self._fs.ftp.stat(self._path(folder, name))
        except FileNotFoundError:
            return False
        return True

    def write(self, folder: str, name: str, data: bytes, *, replace: bool = False) -> None:  # noqa: ARG002
        with (
            self._half_written(folder, name) as temporary,
            self._fs.ftp.open(temporary, "wb", _BUFFER) as file,
        ):
            file.set_pipelined(True)
            file.write(data)

    def write_file(self, folder: str, name: str, path: Path) -> None:
        with self._half_written(folder, name) as temporary:
            self._fs.ftp.put(str(path), temporary, confirm=True)

    def remove(self, folder: str, name: str) -> None:
        with self._errors(), contextlib.suppress(FileNotFoundError):
            self._fs.ftp.remove(self._path(folder, name))

    def batch(self) -> AbstractContextManager[None]:
        return nullcontext()

    def sweep(self, before: datetime) -> int:
        return remove_until(before, self, _ASIDE)

    @contextmanager
    def _half_written(self, folder: str, name: str) -> Iterator[str]:
        aside = f"{self._root}/{_ASIDE}"
        temporary = f"{aside}/{os.urandom(12).hex()}" if folder else f"{self._root}/{head_beside()}"
        with self._errors():
            if folder:
                self._make_once(aside)
            try:
                yield temporary
                final = self._path(folder, name)
                if folder:
                    self._make_once(final.rpartition("/")[0])
                self._fs.mv(temporary, final)
            except BaseException:
                with contextlib.suppress(OSError, paramiko.SSHException, EOFError):
                    self._fs.ftp.remove(temporary)
                raise

    def _make_once(self, directory: str) -> None:
        if directory not in self._made:
            parent = directory.rpartition("/")[0]
            if parent != self._root:
                self._make(parent)
            self._make(directory)
            self._made.add(directory)

    def _make(self, directory: str) -> None:
        if directory and not self._is_directory(directory):
            try:
                self._fs.ftp.mkdir(directory, 0o700)
            except OSError:
                # Another thread, or another writer, may have made it just now.
                if not self._is_directory(directory):
                    raise

    def _is_directory(self, path: str) -> bool:
        try:
            return S_ISDIR(self._fs.ftp.stat(path).st_mode or 0)
        except FileNotFoundError:
            return False

    def _path(self, folder: str, name: str) -> str:
        inner = f"{name[:2]}/{name}" if folder == FAN_OUT else name
        return f"{self._root}/{folder}/{inner}" if folder else f"{self._root}/{inner}"

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (FileNotFoundError, VMoodleError):
            raise
        except (OSError, EOFError, paramiko.SSHException) as error:
            raise self._trouble(error) from None

    def _trouble(self, error: Exception) -> VMoodleError:
        text, number = str(error), getattr(error, "errno", None)
        if isinstance(error, paramiko.BadHostKeyException) or "not found in known_hosts" in text:
            return Refused(
                "store.hostkey",
                f"The key of the SSH server of {self.address.display()} is not the known one.",
                "Compare the key, then add it: ssh-keyscan -p PORT HOST >> ~/.ssh/known_hosts.",
            )
        if isinstance(error, paramiko.AuthenticationException) or (
            isinstance(error, paramiko.SSHException) and "authentication" in text.lower()
        ):
            return login(self.address)
        if isinstance(error, PermissionError):
            return denied(self.address)
        if number in (errno.ENOSPC, errno.EDQUOT):
            return full(self.address)
        if isinstance(error, OSError) and number is None and text == "Failure":
            return Unavailable(
                "store.write",
                f"The server of the store {self.address.display()} refused without a reason.",
                "SFTP gives none when the disk or the quota is full: look there first.",
            )
        return unreachable(self.address, type(error).__name__)
