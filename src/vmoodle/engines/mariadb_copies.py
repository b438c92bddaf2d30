"""Copies by MariaDB's and MySQL's own programs: what needs them, and their option file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from vmoodle.engines.address import ServerAddress
from vmoodle.engines.protocol import SiteDatabase

BEYOND_PLAIN_TABLES = """
    SELECT 1 FROM information_schema.tables
     WHERE table_schema = %s AND table_type <> 'BASE TABLE'
    UNION ALL
    SELECT 1 FROM information_schema.triggers WHERE trigger_schema = %s
    UNION ALL
    SELECT 1 FROM information_schema.columns
     WHERE table_schema = %s
       AND (extra LIKE '%%VIRTUAL GENERATED%%' OR extra LIKE '%%STORED GENERATED%%')
    LIMIT 1
"""
TABLE_NAMES = """
    SELECT table_name FROM information_schema.tables WHERE table_schema = %s ORDER BY table_name
"""

_SSL_SETTINGS: Mapping[str, Mapping[str, str]] = {
    "disable": {"loose-ssl-mode": "DISABLED", "loose-skip-ssl": "1"},
    "prefer": {"loose-ssl-verify-server-cert": "0"},
    "require": {
        "loose-ssl-mode": "REQUIRED",
        "loose-ssl": "1",
        "loose-ssl-verify-server-cert": "0",
    },
    "verify-ca": {"loose-ssl-mode": "VERIFY_CA", "loose-ssl-verify-server-cert": "1"},
    "verify-full": {"loose-ssl-mode": "VERIFY_IDENTITY", "loose-ssl-verify-server-cert": "1"},
}


# How mariadb-dump and mysqldump write whose rights a view or a trigger has; rows never start so.
_DEFINER = re.compile(
    rb"^(?P<start>(?:/\*!50003 CREATE\*/ )?)/\*!500(?:13|17) DEFINER=`(?:[^`]|``)*`@`(?:[^`]|``)*`"
    rb"(?P<rest> SQL SECURITY DEFINER)? ?\*/"
)


def without_definers(dump: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the lines of a dump so that views and triggers belong to whoever restores it.

    Naming another account as the definer takes a right that a site's account must not have.
    """
    for line in dump:
        yield _DEFINER.sub(rb"\g<start>", line) if line.startswith(b"/*!500") else line


def option_file(address: ServerAddress, database: SiteDatabase) -> str:
    """Return a client's option file; `loose-` is for what only one of the two vendors knows."""
    settings = {
        "user": database.account,
        "password": database.password.reveal(),
    }
    if address.socket:
        settings |= {"protocol": "socket", "socket": address.socket}
    else:
        settings |= {"protocol": "tcp", "host": address.host, "port": str(address.effective_port)}
    mode = address.options.get("sslmode", "prefer")
    settings |= _SSL_SETTINGS[mode]
    if ca := address.options.get("ssl_ca"):
        settings["ssl-ca"] = ca
    lines = (f'{name}="{_escaped(value)}"' for name, value in settings.items())
    return "\n".join(["[client]", *lines, ""])


def _escaped(value: str) -> str:
    for character, escape in (
        ("\\", "\\\\"),
        ('"', '\\"'),
        ("\n", "\\n"),
        ("\r", "\\r"),
        ("\t", "\\t"),
    ):
        value = value.replace(character, escape)
    return value
