"""Connect Django to the registry's database and bring its schema up to date."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from vmoodle.errors import InvalidInput, Unavailable
from vmoodle.secret import Secret

BUSY_TIMEOUT_SECONDS = 30
# Any number will do that no other program in the same database takes: "vmoodle" in ASCII.
_MIGRATION_LOCK = int.from_bytes(b"vmoodle")
# What registry.url may say behind `?`: libpq's own names.
_URL_OPTIONS = frozenset(
    {
        "application_name",
        "channel_binding",
        "connect_timeout",
        "gssencmode",
        "host",
        "keepalives",
        "keepalives_count",
        "keepalives_idle",
        "keepalives_interval",
        "options",
        "passfile",
        "port",
        "service",
        "sslcert",
        "sslcrl",
        "sslkey",
        "sslmode",
        "sslpassword",
        "sslrootcert",
        "target_session_attrs",
        "tcp_user_timeout",
    }
)


def connect(database_file: Path, url: Secret, *, lock_file: Path) -> None:
    """Configure Django once for this process; create or migrate the registry when it is behind.

    One call at a time looks and migrates, the others wait: those of this machine by `lock_file`,
    those of other nodes by a lock of PostgreSQL's, where the registry is there. Raise InvalidInput
    for a URL that is not PostgreSQL's, Unavailable when the database does not answer.
    """
    import django
    from django.conf import settings as django_settings

    if not django_settings.configured:
        django_settings.configure(**configuration(database_file, url))
        django.setup()
    # Also for a look: SQLite cannot begin to keep a write-ahead log while another call does.
    with other_calls_kept_out(lock_file):
        _migrate_when_behind()


def configuration(database_file: Path, url: Secret) -> dict[str, Any]:
    """Return Django's settings for the registry: SQLite (WAL, immediate) or PostgreSQL by URL."""
    database = _postgresql(url) if url else _sqlite(database_file)
    return {
        "DATABASES": {"default": database},
        "INSTALLED_APPS": ["vmoodle.registry"],
        "DEFAULT_AUTO_FIELD": "django.db.models.BigAutoField",
        "USE_TZ": True,
        "TIME_ZONE": "UTC",
        "LOGGING_CONFIG": None,
    }


def _sqlite(database_file: Path) -> dict[str, Any]:
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(database_file),
        "OPTIONS": {
            "timeout": BUSY_TIMEOUT_SECONDS,
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
        },
    }


def _postgresql(url: Secret) -> dict[str, Any]:
    try:
        parts = urlsplit(url.reveal())
        port = str(parts.port or "")
    except ValueError:
        raise _unusable("cannot be read: its host or port is malformed") from None
    if parts.scheme not in {"postgresql", "postgres"} or not parts.path.strip("/"):
        raise _unusable("is neither empty nor of the form postgresql://user@host/database")
    options = _url_options(parts.query)
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.strip("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": options.pop("host", unquote(parts.hostname or "")),
        "PORT": options.pop("port", port),
        "OPTIONS": {"connect_timeout": 5} | options,
    }


def _url_options(query: str) -> dict[str, str]:
    """Return libpq's options of the URL; none is dropped, for TLS may be one of them."""
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError:
        raise _unusable("has options that cannot be read") from None
    options = dict(pairs)
    if len(options) != len(pairs) or not _URL_OPTIONS.issuperset(options):
        # Not the name that was found: it could be a piece of a password.
        raise _unusable(
            "has an unknown or repeated option", f"Known are: {', '.join(sorted(_URL_OPTIONS))}."
        )
    return options


def _unusable(
    what: str, hint: str = "Leave it empty for SQLite in the home; percent-encode a password."
) -> InvalidInput:
    return InvalidInput("settings.value", f"registry.url {what}.", hint)


def _migrate_when_behind() -> None:
    from django.core.management import call_command
    from django.db import DatabaseError

    try:
        applied = _applied()
        if _known() - applied:
            with _other_nodes_kept_out():
                # What another node has migrated meanwhile, Django leaves as it is.
                call_command("migrate", verbosity=0, interactive=False)
    except DatabaseError as error:
        raise Unavailable(
            "registry.unavailable",
            f"The registry's database does not answer: {str(error).strip()}.",
            "Start its server, or check registry.url in vmoodle.toml.",
        ) from error
    refuse_newer(applied)


def refuse_newer(applied: set[str]) -> None:
    """Raise Unavailable when migrations were applied to a registry that this release has not."""
    if unknown := applied - _known():
        raise Unavailable(
            "registry.newer",
            "The registry was written by a newer VMoodle: " + ", ".join(sorted(unknown)),
            "Install that release of VMoodle again, or a later one.",
        )


def _known() -> set[str]:
    return {path.stem for path in (Path(__file__).parent / "migrations").glob("0*.py")}


def _applied() -> set[str]:
    from django.db import connection
    from django.db.migrations.recorder import MigrationRecorder

    recorded = MigrationRecorder(connection).applied_migrations()
    return {name for app, name in recorded if app == "registry"}


@contextmanager
def other_calls_kept_out(lock_file: Path) -> Iterator[None]:
    """Hold the lock under which the registry's file is made and migrated."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        descriptor = os.open(lock_file, flags, 0o600)
    except OSError as error:
        raise Unavailable(
            "home.unwritable",
            f"{lock_file} cannot be made: {error.strerror}.",
            "Free space, or run VMoodle as the account that owns its home.",
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _other_nodes_kept_out() -> Iterator[None]:
    """Hold PostgreSQL's own lock on the registry; SQLite has no other nodes."""
    from django.db import connection

    if connection.vendor != "postgresql":
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [_MIGRATION_LOCK])
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [_MIGRATION_LOCK])
