"""PyMySQL as VMoodle needs it: how it logs in and waits, and its errors as VMoodle's own."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import pymysql
from pymysql.err import InterfaceError, MySQLError

from vmoodle.engines import faults
from vmoodle.engines.address import ServerAddress
from vmoodle.errors import Failed, Unavailable, VMoodleError

_UNKNOWN_SERVER_ERROR = 0
_MAKING_A_CONTEXT = threading.Lock()

# How the driver tells a server that fell silent, too: what it waited with is the cause.
_GONE = frozenset({2003, 2006, 2013})
_FAULTS: Mapping[int, faults.Fault] = {
    **dict.fromkeys(
        (2002, 2003, 2005, 2006, 2013, 2055, 1053, 1152, 1158, 1159, 1927), faults.DOWN
    ),
    **dict.fromkeys((1045, 1698, 1251, 1130, 2059, 1862, 4151), faults.LOGIN),
    **dict.fromkeys((1044, 1142, 1143, 1227, 1370, 1410), faults.GRANT),
    **dict.fromkeys((1008, 1049), faults.NO_DATABASE),
    **dict.fromkeys((1290, 1836), faults.READ_ONLY),
    **dict.fromkeys((1969, 3024), faults.TIMEOUT),
    **dict.fromkeys((1020, 1205, 1213), faults.BUSY),
    **dict.fromkeys((1021, 1114), faults.DISK),
    **dict.fromkeys((1040, 1203, 1226), faults.FULL),
    1007: faults.DATABASE_EXISTS,
    1133: faults.NO_ACCOUNT,
    1141: faults.NO_GRANT,
    1062: faults.DUPLICATE,
    1064: faults.SYNTAX,
    1792: faults.READS_ONLY,
}


def translate(error: MySQLError, otherwise: type[VMoodleError] = Failed) -> VMoodleError:
    """Return the typed error for a driver's error; `otherwise` is for unlisted ones."""
    number = (
        error.args[0] if error.args and isinstance(error.args[0], int) else _UNKNOWN_SERVER_ERROR
    )
    text = str(error.args[1]) if len(error.args) > 1 else str(error) or "the connection is gone"
    if isinstance(error, InterfaceError):
        fault = faults.DOWN
    elif number in _GONE and isinstance(error.__context__, TimeoutError):
        fault = faults.TIMEOUT
    elif "Errcode: 28" in text or "No space left" in text:
        fault = faults.DISK
    else:
        fault = _FAULTS.get(number, faults.unlisted(otherwise))
    return faults.said(fault, text)


Settings = Callable[[bool], Sequence[str]]
"""Gives the assignments of a SET, told whether the server is a MariaDB."""


class Driver(pymysql.connections.Connection):
    """Bound the login by its own time limit, and waiting for the server afterwards by another."""

    server_version: str
    server_status: int | None
    settings: Settings = staticmethod(lambda _mariadb: ())
    """What is set for the session with each login."""
    _contexts: ClassVar[dict[tuple[object, ...], ssl.SSLContext]] = {}

    def _create_ssl_ctx(self, sslp: dict[str, Any]) -> ssl.SSLContext:
        # To read the system's certificates takes 24 ms, more than all the rest of a login. One for
        # each way to connect does; a file of certificates that has changed is read again.
        ca = sslp.get("ca")
        key = (*sorted((k, str(v)) for k, v in sslp.items()), _changed_at(ca) if ca else 0)
        with _MAKING_A_CONTEXT:
            if key not in self._contexts:
                driver: Any = super()
                self._contexts[key] = driver._create_ssl_ctx(sslp)
            return self._contexts[key]

    def set_character_set(self, charset: str, collation: str | None = None) -> None:  # noqa: ARG002
        """Set all that a session is to have by one statement; the driver calls this at login."""
        # To wait for the server a second time is a tenth of what a site that is asked takes.
        query: Any = self.query
        query(", ".join([f"SET NAMES {charset}", *self.settings(self.is_mariadb)]))

    @property
    def is_mariadb(self) -> bool:
        """Tell MariaDB from MySQL by the greeting of the server."""
        return "mariadb" in self.server_version.lower()

    @property
    def transaction_state(self) -> int:
        """Return the flags the server sent with its last answer."""
        return self.server_status or 0

    def limit_waiting(self, seconds: float | None) -> None:
        """Let the server be silent for so long; None is for ever."""
        # The same for both ways: the driver tells the socket at each change between them.
        self._read_timeout = self._write_timeout = seconds

    def hang_up(self, cursor: Any) -> None:
        """Close the connection in the middle of an answer; to close the cursor would read on."""
        if cursor._result is not None:
            cursor._result.unbuffered_active = False
        cursor.connection = None
        driver: Any = self
        driver._force_close()


def _changed_at(path: str) -> float:
    try:
        return Path(path).stat().st_mtime
    except OSError:  # whoever reads it tells
        return 0.0


def encryption(address: ServerAddress) -> dict[str, Any]:
    """Return what the driver is told for the `sslmode` of an address."""
    mode = address.options.get("sslmode", "prefer")
    if mode not in ("require", "verify-ca", "verify-full"):
        return {"ssl_disabled": mode == "disable"}
    return {
        "ssl": {"check_hostname": mode == "verify-full"},
        "ssl_ca": address.options.get("ssl_ca"),
        "ssl_verify_cert": mode != "require",
        "ssl_verify_identity": mode == "verify-full",
    }


@contextmanager
def faults_of_login() -> Iterator[None]:
    """Raise what the driver says of a login as Unavailable, or as another fault of the server."""
    try:
        yield
    except MySQLError as error:
        fault = translate(error, Unavailable)
        if fault.code == "engine.grant":  # 1044 at login: known, but not let into that database
            fault = Unavailable(faults.LOGIN[1], fault.message, faults.LOGIN[2])
        if fault.code == "engine.timeout":
            fault = Unavailable(faults.SILENT[1], fault.message, faults.SILENT[2])
        raise fault from error
    except OSError as error:
        about = "The database server cannot be reached"
        kind = faults.SILENT if isinstance(error, TimeoutError) else faults.DOWN
        raise faults.said(kind, str(error), about=about) from error
