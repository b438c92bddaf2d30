"""Who administers a site: the users that its setting `siteadmins` names, the main one first.

Moodle: is_siteadmin and get_admins of lib/accesslib.php and lib/moodlelib.php, and
admin/roles/admins.php, 4.5 and 5.1. Call `invalidation.invalidate` with `Change.SETTINGS`
after the commit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vmoodle.engines.protocol import SiteConnection
from vmoodle.errors import Conflict, NotFound, Refused, changed_since
from vmoodle.moodle.caches.access_flags import mark_user
from vmoodle.moodle.config.settings import (
    CORE,
    Forced,
    SettingName,
    read_settings,
    refuse_forced,
    set_settings,
)
from vmoodle.moodle.database.site_admins import SITE_ADMINS, administrator_ids
from vmoodle.moodle.database.site_schema import marks

_SITEADMINS = SettingName(CORE, SITE_ADMINS)


@dataclass(frozen=True)
class Account:
    """A user of the site's own; the name of a user that is not there is empty."""

    id: int
    username: str = ""
    name: str = ""
    email: str = ""
    auth: str = ""
    suspended: bool = False
    last_access: int = 0
    is_guest: bool = False

    @property
    def can_log_in(self) -> bool:
        """Tell whether anybody can be this user; the guest is who is not logged in."""
        is_open = bool(self.username) and not self.suspended and self.auth != "nologin"
        return is_open and not self.is_guest


def find_account(connection: SiteConnection, username: str) -> Account:
    """Return the site's own user of that name; raise NotFound `user.unknown`."""
    wanted = username.strip().lower()
    rows = connection.query(
        f"SELECT {_COLUMNS} FROM {{user}} WHERE username = %s AND deleted = 0 AND mnethostid ="  # noqa: S608 - a constant
        f" {_own_host(connection)}",
        (wanted,),
    )
    if not rows:
        raise NotFound(
            "user.unknown",
            f"The site has no user {wanted!r}.",
            "Give the username, not the name or the address; deleted users do not count.",
        )
    return _account(rows[0], _guest(connection))


def find_user(connection: SiteConnection, username: str) -> Account:
    """Return the site's own user of that name who is a person: the guest is none.

    Raise NotFound `user.unknown`, Refused `user.guest`.
    """
    account = find_account(connection, username)
    if account.is_guest:
        raise Refused(
            "user.guest",
            "The guest is who is not logged in: it is no administrator and has no password.",
            "Name a person's account.",
        )
    return account


def administrators(
    connection: SiteConnection, forced: Forced | None = None, *, lock: bool = False
) -> list[Account]:
    """Return the site's administrators in their order, also those that are no users any more.

    With `lock`, the first of its transaction, nobody else changes the list before that has ended.
    """
    values = read_settings(connection, [_SITEADMINS], forced, lock=lock)
    ids = administrator_ids(values[_SITEADMINS].effective)
    if not ids:
        return []
    rows = connection.query(
        f"SELECT {_COLUMNS} FROM {{user}} WHERE id IN ({marks(ids)}) AND deleted = 0",  # noqa: S608 - bound
        ids,
    )
    guest = _guest(connection)
    there = {account.id: account for account in (_account(row, guest) for row in rows)}
    return [there.get(one, Account(one)) for one in ids]


def refuse_forced_list(connection: SiteConnection, forced: Forced | None) -> None:
    """Raise Refused `setting.forced` where config.php says who administers the site."""
    refuse_forced(_SITEADMINS, read_settings(connection, [_SITEADMINS], forced)[_SITEADMINS])


def with_added(now: Sequence[Account], account: Account) -> list[int]:
    """Return the ids with one more; raise Conflict `admin.already`, Refused `admin.locked`."""
    if account.id in [one.id for one in now]:
        raise Conflict(
            "admin.already",
            f"{account.username} administers the site already.",
            "Leave the site out; `vmoodle admin list` shows who does.",
        )
    if not account.can_log_in:
        raise Refused(
            "admin.locked",
            f"{account.username} cannot log in: the account is suspended, or its login is off.",
            "Let the account log in first, in the site's administration.",
        )
    return [*(one.id for one in now), account.id]


def with_removed(now: Sequence[Account], account: Account) -> list[int]:
    """Return the ids without one; raise NotFound `admin.none`, Refused `admin.last`."""
    if account.id not in [one.id for one in now]:
        raise no_administrator(account.username)
    left = [one for one in now if one.id != account.id]
    if not any(one.can_log_in for one in left):
        raise Refused(
            "admin.last",
            f"{account.username} is the last who can administer the site.",
            "Add another one first: vmoodle admin add.",
        )
    return [one.id for one in left]


def no_administrator(username: str) -> NotFound:
    """Return the error for a user who does not administer the site."""
    return NotFound(
        "admin.none",
        f"{username} does not administer the site.",
        "`vmoodle admin list` shows who does; `vmoodle admin add` adds one.",
    )


def write_administrators(
    connection: SiteConnection,
    ids: Sequence[int],
    concerned: int,
    forced: Forced | None = None,
    *,
    seen: Sequence[int],
) -> None:
    """Let these users administer the site; the sessions of the one `concerned` are told.

    Raise Conflict `admin.changed` where they are not those in that order that were `seen`.
    """
    now = read_settings(connection, [_SITEADMINS], forced, lock=True)[_SITEADMINS]
    if administrator_ids(now.effective) != list(seen):
        raise changed_since(
            "admin.changed",
            "who administers the site",
            "Look at it by `vmoodle admin list`, and do it anew.",
        )
    text = ",".join(map(str, ids))
    set_settings(connection, {_SITEADMINS: text}, forced=forced, create=True)
    mark_user(connection, concerned)


_COLUMNS = "id, username, firstname, lastname, email, auth, suspended, lastaccess"


def _account(row: Sequence[object], guest: str) -> Account:
    number, username, first, last, email, auth, suspended, last_access = row
    name = f"{first or ''} {last or ''}".strip()
    return Account(
        int(str(number)), str(username), name, str(email or ""), str(auth), bool(suspended),
        int(str(last_access or 0)), username == "guest" or str(number) == guest,
    )  # fmt: skip


def _guest(connection: SiteConnection) -> str:
    """Return the id of the account that stands for who is not logged in; empty for none."""
    rows = connection.query("SELECT value FROM {config} WHERE name = 'siteguest'")
    return str(rows[0][0]) if rows else ""


def _own_host(connection: SiteConnection) -> int:
    """Return the id of the site itself among its MNet hosts."""
    rows = connection.query("SELECT value FROM {config} WHERE name = 'mnet_localhost_id'")
    return int(rows[0][0]) if rows and str(rows[0][0]).isdigit() else 1
