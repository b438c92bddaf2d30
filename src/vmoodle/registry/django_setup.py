"""Connect Django to the registry's database and bring its schema up to date."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from vmoodle.errors import InvalidInput, Unavailable
from vmoodle.secret import Secret

BUSY_TIMEOUT_SECONDS = 30


def connect(database_file: Path, url: Secret) -> None:
    """Configure Django once for this process; create or migrate the registry when it is behind.

    Raise InvalidInput for a URL that is not PostgreSQL's, Unavailable when the database does not
    answer.
    """
    import django
    from django.conf import settings as django_settings

    if not django_settings.configured:
        django_settings.configure(**configuration(database_file, url))
        django.setup()
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
    parts = urlsplit(url.reveal())
    if parts.scheme not in {"postgresql", "postgres"} or not parts.path.strip("/"):
        raise InvalidInput(
            "settings.value",
            "registry.url is neither empty nor of the form postgresql://user@host/database.",
            "Leave it empty for SQLite in the home.",
        )
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.strip("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": unquote(parts.hostname or ""),
        "PORT": str(parts.port or ""),
        "OPTIONS": {"connect_timeout": 5},
    }


def _migrate_when_behind() -> None:
    from django.core.management import call_command
    from django.db import DatabaseError, connection
    from django.db.migrations.recorder import MigrationRecorder

    known = {path.stem for path in (Path(__file__).parent / "migrations").glob("0*.py")}
    try:
        applied = {
            name
            for app, name in MigrationRecorder(connection).applied_migrations()
            if app == "registry"
        }
        if known - applied:
            call_command("migrate", verbosity=0, interactive=False)
    except DatabaseError as error:
        raise Unavailable(
            "registry.unavailable",
            f"The registry's database does not answer: {str(error).strip()}.",
            "Start its server, or check registry.url in vmoodle.toml.",
        ) from error
    if applied - known:
        raise Unavailable(
            "registry.newer",
            "The registry was written by a newer VMoodle: " + ", ".join(sorted(applied - known)),
            "Install that release of VMoodle again, or a later one.",
        )
