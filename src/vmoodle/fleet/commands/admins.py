"""Administrators of sites: who they are, one more, one less."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from pydantic import Field

from vmoodle.engines.protocol import SiteConnection
from vmoodle.errors import changed_since
from vmoodle.fleet.command import Command, Comparison, Effect
from vmoodle.fleet.parameters import Parameters
from vmoodle.fleet.result import Changed, Result, Table
from vmoodle.fleet.target_site import TargetSite
from vmoodle.moodle.caches.invalidation import Change
from vmoodle.moodle.care.administrators import (
    Account,
    administrators,
    find_user,
    refuse_forced_list,
    with_added,
    with_removed,
    write_administrators,
)


class Who(Parameters):
    """A user of each of the sites."""

    username: str = Field(min_length=1, max_length=100, description="The username, on every site.")


class ListAdministrators(Command[Parameters]):
    """Tell."""

    name = "admin.list"
    title = "Tell who administers the sites, the main administrator first."
    effect = Effect.READS
    comparison = Comparison.MERGED

    def run(self, site: TargetSite) -> Result:
        """Return the administrators; one that is no user any more has no name."""
        with site.connect() as connection:
            found = administrators(connection, site.forced)
        columns = ("username", "name", "email", "auth", "can_log_in", "last_access")
        return Table(
            columns,
            tuple(
                (
                    one.username or f"(id {one.id}: no such user)", one.name, one.email, one.auth,
                    one.can_log_in, _moment(one.last_access),
                )
                for one in found
            ),
        )  # fmt: skip


class _ChangeList(Command[Who]):
    """What changes who administers a site, and can be taken back."""

    effect = Effect.WRITES
    comparison = Comparison.BY_ROW
    model = Who

    def run(self, site: TargetSite) -> Changed:
        """Change it, and return who administers the site now."""
        with site.change() as connection:
            account, now, ids = self._plan(connection, site, lock=True)
            before = [one.id for one in now]
            write_administrators(connection, ids, account.id, site.forced, seen=before)
            after = administrators(connection, site.forced)
        kept = {"user": account.id, "username": account.username, "before": before, "after": ids}
        return Changed(_answer(now, after, site.drop_caches([Change.SETTINGS])), kept)

    def dry_run(self, site: TargetSite) -> Result:
        """Return who administers the site, and who would."""
        with site.connect() as connection:
            account, now, ids = self._plan(connection, site)
        return _answer(now, _accounts(ids, [*now, account]))

    def undo(self, site: TargetSite, kept: Any, *, dry: bool) -> Result | Changed:
        """Make the user what he was, at the place in the list where he stood."""
        user, before = kept["user"], kept["before"]
        with site.connect() if dry else site.change() as connection:
            now = administrators(connection, site.forced, lock=not dry)
            refuse_forced_list(connection, site.forced)
            ids = [one.id for one in now]
            if (user in ids) == (user in before):
                does = "does" if user in ids else "does not"
                raise changed_since(
                    "admin.changed",
                    f"who administers the site ({kept['username']} {does} by now)",
                    f"vmoodle admin list --on {site.shortname}",
                )
            account = next((one for one in now if one.id == user), None)
            if account is not None:
                wanted = with_removed(now, account)
            else:
                account = find_user(connection, kept["username"])
                wanted = with_added(now, account)[:-1]
                wanted.insert(min(before.index(user), len(wanted)), user)
            if dry:
                return _answer(now, _accounts(wanted, [*now, account]))
            write_administrators(connection, wanted, user, site.forced, seen=ids)
            after = administrators(connection, site.forced)
        again = {**kept, "before": ids, "after": wanted}
        return Changed(_answer(now, after, site.drop_caches([Change.SETTINGS])), again)

    def _plan(
        self, connection: SiteConnection, site: TargetSite, *, lock: bool = False
    ) -> tuple[Account, list[Account], list[int]]:
        """Return the user, who administers the site, and the ids of those who are to."""
        now = administrators(connection, site.forced, lock=lock)
        refuse_forced_list(connection, site.forced)
        account = find_user(connection, self.given.username)
        return account, now, self._ids(now, account)

    def _ids(self, now: Sequence[Account], account: Account) -> list[int]:
        raise NotImplementedError


class AddAdministrator(_ChangeList):
    """One more."""

    name = "admin.add"
    title = "Let a user who is there administer the sites."

    def _ids(self, now: Sequence[Account], account: Account) -> list[int]:
        return with_added(now, account)


class RemoveAdministrator(_ChangeList):
    """One less."""

    name = "admin.remove"
    title = "Let a user no longer administer the sites; the last one stays."

    def _ids(self, now: Sequence[Account], account: Account) -> list[int]:
        return with_removed(now, account)


def _accounts(ids: Sequence[int], known: Sequence[Account]) -> list[Account]:
    by_id = {one.id: one for one in known}
    return [by_id[one] for one in ids]


def _answer(was: Sequence[Account], now: Sequence[Account], stale: Sequence[str] = ()) -> Table:
    cells = (_names(was), _names(now))
    if stale:
        return Table(("was", "is", "note"), ((*cells, " ".join(stale)),))
    return Table(("was", "is"), (cells,))


def _names(accounts: Sequence[Account]) -> str:
    return ", ".join(one.username or f"(id {one.id})" for one in accounts)


def _moment(seconds: int) -> str | None:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M}" if seconds else None
