"""Administrators who are locked out: a new password, and all out of the way that kept them out."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, model_validator

from vmoodle.engines.protocol import SiteConnection
from vmoodle.errors import Failed, InvalidInput, VMoodleError
from vmoodle.fleet.command import Command, Comparison, Effect
from vmoodle.fleet.commands.admins import Who
from vmoodle.fleet.parameter_words import called
from vmoodle.fleet.parameters import SecretParameter, refuse_together
from vmoodle.fleet.result import Changed, Result, Table
from vmoodle.fleet.target_site import TargetSite
from vmoodle.moodle.care.account_reset import (
    AccountState,
    checked_password,
    read_account,
    refuse_changed,
    reset_account,
    take_back,
)
from vmoodle.moodle.care.administrators import (
    Account,
    administrators,
    find_user,
    no_administrator,
)
from vmoodle.secret import Secret, generate_password

if TYPE_CHECKING:
    from vmoodle.installation import Installation


class Reset(Who):
    """Whose password, and which."""

    password: SecretParameter = Field(
        default=Secret(""), description="The first line of a file: the same password everywhere."
    )
    password_out: str = Field(
        default="",
        description="A directory: a password of its own for each site is written there, to a "
        "file (0600) of the site's name.",
    )

    @model_validator(mode="after")
    def _fit(self) -> Self:
        refuse_together(password=self.password, password_out=self.password_out)
        if not self.password and not self.password_out:
            raise InvalidInput(
                "account.password",
                "No password is given.",
                f"Give {called('password')}, or {called('password_out')} for one of its own for "
                "each site.",
            )
        if self.password:
            checked_password(self.password)
        return self


class ResetPassword(Command[Reset]):
    """Reset."""

    name = "admin.reset"
    title = "Give an administrator a new password to begin with, and unlock the account."
    effect = Effect.WRITES
    comparison = Comparison.BY_ROW
    model = Reset

    @classmethod
    def settle(cls, given: Reset, installation: Installation) -> Reset:  # noqa: ARG003
        """Put in the whole path of the directory: the run may be carried out elsewhere."""
        if not given.password_out:
            return given
        path = Path(given.password_out).expanduser().absolute()
        return given.model_copy(update={"password_out": str(path)})

    def run(self, site: TargetSite) -> Changed:
        """Write the password to its file where it is a new one, then give it to the account."""
        path = self._file(site)
        password = self.given.password
        if path is not None:
            password = generate_password()
            _write_new(path, password)
        try:
            with site.change() as connection:
                account = _find(connection, site, self.given.username)
                before, after = reset_account(connection, account, password)
        except VMoodleError as error:
            if error.code == "run.outcome":
                # The commit may have gone through: the file is then all there is of the password.
                hint = (
                    f"Try to log in with the one in {path}." if path else "Try to log in with it."
                )
                raise Failed(error.code, error.message, hint) from error
            if path is not None:
                path.unlink(missing_ok=True)
            raise
        kept = {
            "username": account.username, "before": before.as_data(), "after": after.as_data()
        }  # fmt: skip
        return Changed(_answer(account, before, path), kept)

    def dry_run(self, site: TargetSite) -> Result:
        """Return what keeps the administrator out, and where the password would be."""
        path = self._file(site)
        if path is not None:
            _refuse_unwritable(path)
        with site.connect() as connection:
            account = _find(connection, site, self.given.username)
            return _answer(account, read_account(connection, account), path)

    def undo(self, site: TargetSite, kept: Any, *, dry: bool) -> Result | Changed:
        """Bring back the password, and what else was changed of the account."""
        before, after = (AccountState.from_data(kept[key]) for key in ("before", "after"))
        with site.connect() if dry else site.change() as connection:
            account = find_user(connection, kept["username"])
            if dry:
                refuse_changed(connection, account, after)
            else:
                take_back(connection, account, before, after)
        again = {**kept, "before": kept["after"], "after": kept["before"]}
        said = Table(("account", "again"), ((account.username, ", ".join(_again(before))),))
        return said if dry else Changed(said, again)

    def _file(self, site: TargetSite) -> Path | None:
        return Path(self.given.password_out) / site.shortname if self.given.password_out else None


def _find(connection: SiteConnection, site: TargetSite, username: str) -> Account:
    account = find_user(connection, username)
    if account.id not in [one.id for one in administrators(connection, site.forced)]:
        raise no_administrator(account.username)
    return account


def _again(state: AccountState) -> list[str]:
    return ["its password of before", *state.hindrances]


def _answer(account: Account, before: AccountState, path: Path | None) -> Table:
    """Return what was in the way; the directory of passwords is the same for all sites."""
    where = (str(path.parent),) if path is not None else ()
    columns = ("account", "in_the_way", *(("passwords_in",) if where else ()))
    return Table(columns, ((account.username, ", ".join(before.hindrances) or None, *where),))


def _refuse_unwritable(path: Path) -> None:
    """Raise InvalidInput `secret.unwritable` where `_write_new` would."""
    directory = path.parent if path.parent.exists() else path.parent.parent
    if path.exists() or path.is_symlink():
        raise _unwritable(path, "it is there already")
    if not directory.is_dir():
        raise _unwritable(path, f"{directory} is no directory")
    if not os.access(directory, os.W_OK | os.X_OK):
        raise _unwritable(path, f"{directory} may not be written")


def _write_new(path: Path, password: Secret) -> None:
    """Write the password as one line to a new file (0600), on the disk before it is used."""
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(path, flags, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(f"{password.reveal()}\n")
            file.flush()
            os.fsync(descriptor)
    except OSError as error:
        raise _unwritable(path, error.strerror or "the system refuses it") from error


def _unwritable(path: Path, why: str) -> InvalidInput:
    return InvalidInput(
        "secret.unwritable",
        f"{path} cannot be made: {why}.",
        "Name a directory that has no file of the site yet, in one that this account may write.",
    )
