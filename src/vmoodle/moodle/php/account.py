"""Become the web account: how a child process of root drops to it, and what it can reach."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from pathlib import Path
from typing import Literal

from vmoodle.errors import InvalidInput, Refused, Unavailable

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# What PHP and OpenSSL are configured by; nothing else of the caller's environment is passed on.
_PASSED_ON = ("TZ", "PHPRC", "PHP_INI_SCAN_DIR", "OPENSSL_CONF", "SSL_CERT_FILE", "SSL_CERT_DIR")


def prefix(account: str | None, *, die_with_parent: bool, death: str = "KILL") -> list[str]:
    """Return the words that start a program as the account (None: as the caller).

    With `die_with_parent` the kernel sends the program the signal `death` when the *thread* that
    starts it ends: start it from a thread that waits for it. Its own children get none.
    Raise InvalidInput for an unknown account, Refused when the caller may not become it,
    Unavailable when setpriv (util-linux) is missing.
    """
    options: list[str] = []
    entry = _entry(account)
    if entry is not None and os.geteuid() == 0 and entry.pw_uid != 0:
        options += [f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--init-groups"]
    elif entry is not None and entry.pw_uid != os.geteuid():
        raise Refused(
            "php.account",
            f"PHP is to run as {account}, which only root may do.",
            "Run VMoodle as root, or set web.account in vmoodle.toml to your own account.",
        )
    if die_with_parent:
        options.append(f"--pdeathsig={death}")
    if not options:
        return []
    setpriv = shutil.which("setpriv", path=_PATH)
    if setpriv is None:
        raise Unavailable(
            "php.setpriv", "The program setpriv is missing.", "On Debian: apt install util-linux"
        )
    return [setpriv, *options, "--"]


def environment(account: str | None) -> dict[str, str]:
    """Return the cleaned environment of a program that runs as the account."""
    entry = _entry(account) or pwd.getpwuid(os.geteuid())
    passed_on = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return {
        "PATH": _PATH,
        "LANG": "C.UTF-8",
        "HOME": entry.pw_dir,
        "USER": entry.pw_name,
        "LOGNAME": entry.pw_name,
        **passed_on,
    }


def can_reach(path: Path, account: str | None) -> bool:
    """Tell whether the account can read a file, or pass through a directory."""
    return _can(path, account, "x" if path.is_dir() else "r")


def can_write(path: Path, account: str | None) -> bool:
    """Tell whether the account can change a file, or what is in a directory."""
    return _can(path, account, "w")


def _can(path: Path, account: str | None, right: Literal["r", "w", "x"]) -> bool:
    switch = prefix(account, die_with_parent=False)
    if not switch:
        return os.access(path, {"r": os.R_OK, "w": os.W_OK, "x": os.X_OK}[right])
    asked = subprocess.run(
        [*switch, "test", f"-{right}", str(path)],
        env=environment(account),
        cwd="/",
        stdin=subprocess.DEVNULL,
        check=False,
    )
    return asked.returncode == 0


def owner_ids(account: str | None) -> tuple[int, int]:
    """Return the uid and gid that files for the account get; (-1, -1) leaves them as they are."""
    entry = _entry(account)
    return (entry.pw_uid, entry.pw_gid) if entry is not None and os.geteuid() == 0 else (-1, -1)


def _entry(account: str | None) -> pwd.struct_passwd | None:
    if account is None:
        return None
    try:
        return pwd.getpwnam(account)
    except KeyError as error:
        raise InvalidInput(
            "php.account.unknown",
            f"There is no account {account!r} on this machine.",
            "Set web.account in vmoodle.toml to the account your web server runs PHP as.",
        ) from error
