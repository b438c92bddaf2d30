"""Give an account that its owner is locked out of a new password, so that it can be used at once.

As Moodle does in user/editadvanced.php, login_unlock_account (lib/authlib.php) and
admin/cli/reset_password.php, 4.5 and 5.1, without what these refuse: another authentication, a
suspended account, an account that was locked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vmoodle.engines.protocol import SiteConnection
from vmoodle.errors import Conflict, InvalidInput, changed_since
from vmoodle.moodle.caches.access_flags import mark_preferences
from vmoodle.moodle.care.administrators import Account
from vmoodle.moodle.database.site_schema import marks
from vmoodle.moodle.identity.sha512_crypt import new_salt, sha512_crypt
from vmoodle.secret import Secret

_LONGEST_PASSWORD = 128  # MAX_PASSWORD_CHARACTERS, lib/moodlelib.php, 4.5 and 5.1
_CHANGE_IT = "auth_forcepasswordchange"
_CLEARED = ("login_lockout", "login_failed_count", "login_failed_last", "create_password")
_PREFERENCES = (_CHANGE_IT, *_CLEARED)


@dataclass(frozen=True)
class AccountState:
    """What a reset changes of an account; `repr` shows no hash."""

    password: str = field(repr=False)
    auth: str
    suspended: int
    confirmed: int
    preferences: Mapping[str, str]

    def as_data(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {**vars(self), "preferences": dict(self.preferences)}

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> AccountState:
        """Return what `as_data` gave."""
        return cls(**data)

    @property
    def hindrances(self) -> list[str]:
        """Say what else than the password keeps the owner out."""
        found = []
        if self.auth != "manual":
            found.append(f"it logs in by {self.auth}")
        if self.suspended:
            found.append("it is suspended")
        if not self.confirmed:
            found.append("it is not confirmed")
        if "login_lockout" in self.preferences:
            found.append("it is locked after failed logins")
        return found

    def differing(self, other: AccountState) -> list[str]:
        """Return in words, without values, what is not as in another state."""
        names = ("password", "auth", "suspended", "confirmed")
        found = [f"its {name}" for name in names if getattr(self, name) != getattr(other, name)]
        pairs = self.preferences.items() ^ other.preferences.items()
        return [*found, *(f"the preference {name}" for name in sorted({key for key, _ in pairs}))]


def checked_password(password: Secret) -> Secret:
    """Return the password; raise InvalidInput `password.unusable` for one Moodle never takes."""
    text = password.reveal()
    if not text or len(text) > _LONGEST_PASSWORD or any(sign in text for sign in "\0\r\n"):
        raise InvalidInput(
            "password.unusable",
            f"The password is empty, longer than {_LONGEST_PASSWORD} characters, or has a line "
            "break in it.",
            "Give one line of text.",
        )
    return password


def read_account(
    connection: SiteConnection, account: Account, *, lock: bool = False
) -> AccountState:
    """Return what there is of an account, with `lock` as it stays until the transaction has ended.

    Raise Conflict `account.changed` for one that was deleted meanwhile.
    """
    end = " FOR UPDATE" if lock else ""
    users = connection.query(
        "SELECT password, auth, suspended, confirmed FROM {user}"  # noqa: S608
        f" WHERE id = %s AND deleted = 0{end}",
        (account.id,),
    )
    if not users:
        raise _changed(account, ["it was deleted"])
    ((password, auth, suspended, confirmed),) = users
    rows = connection.query(
        f"SELECT name, value FROM {{user_preferences}} WHERE userid = %s AND name IN"  # noqa: S608 - bound
        f" ({marks(_PREFERENCES)}){end}",
        (account.id, *_PREFERENCES),
    )
    found = {str(name): str(value) for name, value in rows}
    return AccountState(str(password), str(auth), int(suspended), int(confirmed), found)


def reset_account(
    connection: SiteConnection, account: Account, password: Secret
) -> tuple[AccountState, AccountState]:
    """Give the account the password, to be changed at the next login; return before and after."""
    before = read_account(connection, account, lock=True)
    after = AccountState(
        sha512_crypt(password.reveal(), new_salt()), "manual", 0, 1, {_CHANGE_IT: "1"}
    )
    _write(connection, account.id, after)
    return before, after


def take_back(
    connection: SiteConnection, account: Account, before: AccountState, after: AccountState
) -> None:
    """Make the account what it was; raise Conflict `account.changed` as `refuse_changed`."""
    refuse_changed(connection, account, after, lock=True)
    _write(connection, account.id, before)


def refuse_changed(
    connection: SiteConnection, account: Account, after: AccountState, *, lock: bool = False
) -> None:
    """Raise Conflict `account.changed` when anything is not as a reset left it."""
    found = read_account(connection, account, lock=lock).differing(after)
    if found:
        raise _changed(account, found)


def _changed(account: Account, what: list[str]) -> Conflict:
    return changed_since(
        "account.changed",
        f"the account {account.username} ({', '.join(what)})",
        "It stays as it is; change it in the site's administration, or reset it again.",
    )


def _write(connection: SiteConnection, user_id: int, state: AccountState) -> None:
    connection.execute(
        "UPDATE {user} SET password = %s, auth = %s, suspended = %s, confirmed = %s WHERE id = %s",
        (state.password, state.auth, state.suspended, state.confirmed, user_id),
    )
    connection.execute(
        f"DELETE FROM {{user_preferences}} WHERE userid = %s AND name IN ({marks(_PREFERENCES)})",  # noqa: S608 - bound
        (user_id, *_PREFERENCES),
    )
    for name, value in state.preferences.items():
        connection.execute(
            "INSERT INTO {user_preferences} (userid, name, value) VALUES (%s, %s, %s)",
            (user_id, name, value),
        )
    mark_preferences(connection, user_id)
