"""Sites that are in the registry and in real databases, without a Moodle: made in milliseconds."""

from __future__ import annotations

from collections.abc import Callable

from vmoodle.engines.protocol import Engine, SiteDatabase, open_engine
from vmoodle.installation import Installation
from vmoodle.secret import Secret, generate_password

Contents = Callable[[Engine, SiteDatabase], None]
"""Puts tables into an empty database."""
_ID = {"mariadb": "BIGINT AUTO_INCREMENT PRIMARY KEY", "postgresql": "BIGSERIAL PRIMARY KEY"}


def register(
    installation: Installation, server_name: str, url: str, engine: Engine, name: str,
    prefix: str = "mdl_", contents: Contents | None = None, release: str = "4.5.6",
) -> SiteDatabase:  # fmt: skip
    """Make an enabled site; without `contents` its tables are `user` (two in it) and `config*`."""
    database = SiteDatabase(f"vm_{name}", f"vm_{name}", generate_password(), prefix)
    engine.create_account(database, if_missing=True)
    engine.reset_database(database)
    (contents or fill)(engine, database)
    enter(installation, server_name, url, engine, name, database, release=release)
    return database


def enter(
    installation: Installation, server_name: str, url: str, engine: Engine, name: str,
    database: SiteDatabase, *, release: str = "4.5.6", code: str = "", data: str = "",
) -> None:  # fmt: skip
    """Enter a site into the registry that is there already, without publishing it."""
    from vmoodle.registry.models import Codebase, DatabaseServer, Site

    branch = "".join(part.rjust(2, "0") for part in release.split(".")[:2]).lstrip("0")
    codebase, _ = Codebase.objects.get_or_create(
        name=f"moodle{branch}", path=code or f"/nowhere/{branch}", layout="classic",
        version="2024100706", release=f"{release} (Build: 20250814)", branch=branch,
    )  # fmt: skip
    server, _ = DatabaseServer.objects.get_or_create(
        name=server_name,
        defaults={
            "engine": engine.address.engine, "address": engine.address.display(),
            "flavour": engine.facts().flavour, "version": engine.facts().version,
            "url_encrypted": installation.encrypt(Secret(url)),
        },
    )  # fmt: skip
    Site.objects.create(
        shortname=name, name=name, wwwroot=f"http://{name}.test", address_key=f"{name}.test",
        codebase=codebase, server=server, database=database.name, account=database.account,
        password_encrypted=installation.encrypt(database.password), table_prefix=database.prefix,
        dataroot=data or f"/nowhere/{name}", session_key=name, state="enabled", admin_user="admin",
        admin_email="a@example.test",
    )  # fmt: skip


def fill(engine: Engine, database: SiteDatabase) -> None:
    """Make the tables and their rows."""
    key = _ID[engine.address.engine]
    with engine.connect(database, read_only=False) as connection:
        connection.execute(f"CREATE TABLE {{user}} (id {key}, username VARCHAR(100), deleted INT)")
        for table in ("config", "config_plugins"):
            plugin = "plugin VARCHAR(100), " if table == "config_plugins" else ""
            connection.execute(
                f"CREATE TABLE {{{table}}} (id {key}, {plugin}name VARCHAR(100), value TEXT)"
            )
        connection.execute(
            f"CREATE TABLE {{config_log}} (id {key}, userid INT, timemodified BIGINT,"
            " plugin VARCHAR(100), name VARCHAR(100), value TEXT, oldvalue TEXT)"
        )
    with engine.connect(database, read_only=False) as connection:
        for name, deleted in (("admin", 0), ("50% of 'x'", 1)):
            connection.execute(
                "INSERT INTO {user} (username, deleted) VALUES (%s, %s)", (name, deleted)
            )
        for name, value in (("theme", "boost"), ("lang", "en")):
            connection.execute("INSERT INTO {config} (name, value) VALUES (%s, %s)", (name, value))
        connection.execute(
            "INSERT INTO {config_plugins} (plugin, name, value) VALUES (%s, %s, %s)",
            ("mod_quiz", "timelimit", "60"),
        )


__all__ = ["enter", "fill", "open_engine", "register"]
