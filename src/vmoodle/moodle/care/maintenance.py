"""A site's maintenance mode: what closes it, and since when, in its settings and its moodledata.

Three things close a Moodle (admin/cli/maintenance.php, lib/setup.php, 4.5 and 5.1): the file
climaintenance.html closes it to everybody, `maintenance_enabled` to all who may not visit it then,
and `maintenance_later` makes the file on the first request after its time.
"""

from __future__ import annotations

import base64
import os
import re
import secrets
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from vmoodle.engines.protocol import SiteConnection
from vmoodle.errors import Refused, Unavailable
from vmoodle.moodle.config.settings import (
    CORE,
    Forced,
    SettingName,
    read_settings,
    refuse_forced,
    set_settings,
)

PAGE = "climaintenance.html"
_LONGEST_PAGE = 500_000
_NAMES = ("maintenance_enabled", "maintenance_later", "maintenance_message")
_SETTINGS = {name: SettingName(CORE, name) for name in _NAMES}

MAKE_PAGE = """
function_exists('enable_cli_maintenance_mode') || require_once($CFG->libdir . '/adminlib.php');
enable_cli_maintenance_mode();
"""
"""PHP that makes the page of the site's message, as admin/cli/maintenance.php --enable does. That
script leaves a page alone which is there already (4.5), whatever the message is by now."""


class State(StrEnum):
    """Whether visitors get in."""

    OPEN = "open"
    CLOSED = "closed"
    ADMINISTRATORS = "administrators only"
    LATER = "closes later"


@dataclass(frozen=True)
class Page:
    """The page that everybody gets, and the mode of its file."""

    content: bytes = field(repr=False)
    mode: int


NEW_PAGE = Page(b"", 0)
"""Stands for the page that Moodle is to make."""


@dataclass(frozen=True)
class Maintenance:
    """All that says whether a site is closed; None is not set, not there."""

    enabled: str | None = None
    later: str | None = None
    message: str | None = field(default=None, repr=False)
    page: Page | None = None

    @property
    def is_enabled(self) -> bool:
        """Tell whether the setting closes it, as PHP takes its value."""
        return self.enabled not in (None, "", "0")

    @property
    def state(self) -> State:
        """Return what visitors meet now."""
        if self.page is not None:
            return State.CLOSED
        if self.is_enabled:
            return State.ADMINISTRATORS
        return State.OPEN if self.closes_at is None else State.LATER

    @property
    def closes_at(self) -> int | None:
        """Return the time from which on a request closes it."""
        text = self.later or ""
        return int(text) if text.isdigit() and int(text) else None

    def as_data(self) -> dict[str, Any]:
        """Return it as JSON."""
        page = self.page and {
            "content": base64.b64encode(self.page.content).decode("ascii"), "mode": self.page.mode
        }  # fmt: skip
        return {"enabled": self.enabled, "later": self.later, "message": self.message, "page": page}

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Maintenance:
        """Return what `as_data` gave."""
        page = data["page"] and Page(
            base64.b64decode(data["page"]["content"]), data["page"]["mode"]
        )
        return cls(data["enabled"], data["later"], data["message"], page)


def read_maintenance(
    connection: SiteConnection, dataroot: Path, forced: Forced | None = None
) -> Maintenance:
    """Return what a site's settings and moodledata say; raise Unavailable `maintenance.page`."""
    values = read_settings(connection, _SETTINGS.values(), forced)
    enabled, later, message = (values[_SETTINGS[name]].effective for name in _NAMES)
    return Maintenance(enabled, later, message, read_page(dataroot))


def write_settings(
    connection: SiteConnection,
    now: Maintenance,
    wanted: Maintenance,
    forced: Forced | None = None,
    *,
    mind: bool = False,
) -> None:
    """Give the settings of a site the wanted values where they differ from those `now`.

    Raise Refused `setting.forced`; with `mind` Conflict `setting.changed` where they are others
    than `now` by then.
    """
    seen = _differing(wanted, now) if mind else {}
    set_settings(connection, _differing(now, wanted), forced=forced, create=True, seen=seen)


def refuse_forced_settings(
    connection: SiteConnection, now: Maintenance, wanted: Maintenance, forced: Forced | None = None
) -> None:
    """Raise Refused `setting.forced` where `write_settings` would."""
    for setting, value in read_settings(connection, _differing(now, wanted), forced).items():
        refuse_forced(setting, value)


def closed_word(release: str) -> str:
    """Return `maintenance_enabled` beside the page: Moodle 5.1 keeps there how it was closed."""
    number = re.match(r"(\d+)\.(\d+)", release)
    is_kept = number is not None and (int(number[1]), int(number[2])) >= (5, 1)
    return "cli mode" if is_kept else "0"


def is_as_left(now: Maintenance, left: Maintenance) -> bool:
    """Tell whether a site is as a change left it, or has closed by itself as it was told to."""
    if now == left:
        return True
    due = left.closes_at is not None and left.closes_at <= time.time()
    return due and now.page is not None and now.message == left.message and now.later is None


def read_page(dataroot: Path) -> Page | None:
    """Return the page in a moodledata; None where there is none. Raise as `put_page`."""
    with _directory(dataroot) as directory:
        try:
            descriptor = os.open(
                PAGE, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory
            )
        except FileNotFoundError:
            return None
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or status.st_size > _LONGEST_PAGE:
                raise _odd_page(dataroot)
            with os.fdopen(os.dup(descriptor), "rb") as file:
                return Page(file.read(), stat.S_IMODE(status.st_mode))
        finally:
            os.close(descriptor)


def put_page(dataroot: Path, page: Page | None) -> None:
    """Give a moodledata the page, whole at once, or take it away.

    VMoodle may be root and the moodledata the web account's: no symbolic link is followed, and the
    file is the moodledata's owner's. Raise Unavailable `maintenance.page`.
    """
    with _directory(dataroot) as directory:
        if page is None:
            with suppress(FileNotFoundError):
                os.unlink(PAGE, dir_fd=directory)
            return
        beside = f".{PAGE}-{secrets.token_hex(8)}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(beside, flags, 0o600, dir_fd=directory)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(page.content)
                file.flush()
                if os.geteuid() == 0:
                    owner = os.fstat(directory)
                    os.fchown(descriptor, owner.st_uid, owner.st_gid)
                os.fchmod(descriptor, page.mode)
            os.rename(beside, PAGE, src_dir_fd=directory, dst_dir_fd=directory)
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(beside, dir_fd=directory)
            raise


def _differing(now: Maintenance, wanted: Maintenance) -> dict[SettingName, str | None]:
    pairs = zip(_SETTINGS.values(), _values(now), _values(wanted), strict=True)
    return {setting: new for setting, old, new in pairs if old != new}


def _values(maintenance: Maintenance) -> tuple[str | None, str | None, str | None]:
    return maintenance.enabled, maintenance.later, maintenance.message


@contextmanager
def _directory(dataroot: Path) -> Iterator[int]:
    """Open the moodledata; say of what the system refuses which page it is about."""
    try:
        descriptor = os.open(dataroot, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield descriptor
        finally:
            os.close(descriptor)
    except OSError as error:
        raise Unavailable(
            "maintenance.page",
            f"{PAGE} in the site's moodledata cannot be used: {error.strerror}.",
            "Run VMoodle as root or as the web account, and see that the moodledata is there.",
        ) from error


def _odd_page(dataroot: Path) -> Refused:
    return Refused(
        "maintenance.odd",
        f"{dataroot / PAGE} is no file of a page.",
        "Look at what it is, and take it away.",
    )
