"""What an administrator says of a Moodle that is to be adopted, completed from its config.php."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from vmoodle.engines.address import EngineName
from vmoodle.errors import InvalidInput
from vmoodle.lifecycle import names
from vmoodle.moodle.code.config_values import ConfigValues, read_config
from vmoodle.secret import Secret

# Moodle's database drivers (lib/dml/, 4.5 and 5.1), and what the original VMoodle called them.
_ENGINES: dict[str, EngineName] = {
    "mariadb": "mariadb",
    "mysqli": "mariadb",
    "mysql": "mariadb",
    "auroramysql": "mariadb",
    "pgsql": "postgresql",
    "postgres": "postgresql",
    "postgresql": "postgresql",
}
# What must be known, and the option that says it where config.php does not.
_NEEDED = {
    "url": "--url",
    "database": "--database",
    "account": "--account",
    "dataroot": "--dataroot",
}


@dataclass(frozen=True)
class AdoptRequest:
    """An existing Moodle: each member as given, else as its config.php has it.

    `engine` is Moodle's word (`mariadb`, `pgsql`, …); `host`, `port` and `socket` choose among the
    known database servers where `server` names none.
    """

    shortname: str
    url: str = ""
    database: str = ""
    account: str = ""
    password: Secret | None = None
    dataroot: str = ""
    table_prefix: str = ""
    codebase: str = ""
    server: str = ""
    engine: str = ""
    host: str = ""
    port: int | None = None
    socket: str = ""
    labels: list[str] = field(default_factory=list)
    notes: tuple[str, ...] = ()
    """What config.php says that the adopted site will not have."""
    suspended: str = ""
    """Why the site is suspended once it is proved; empty for one that serves."""


def complete(request: AdoptRequest, config: Path | None) -> AdoptRequest:
    """Return the request with what config.php says in the place of what was not given.

    Raise InvalidInput `adopt.incomplete` for what neither says, `adopt.engine` for an engine that
    VMoodle does not know, and as the reader of config.php does.
    """
    names.shortname(request.shortname)
    if config is not None:
        request = _with_config(request, read_config(config))
    missing = [option for name, option in _NEEDED.items() if not getattr(request, name)]
    if request.password is None:
        missing.append("--password-file")
    if missing:
        place = f"{config} does not tell it" if config else "it was not said"
        raise InvalidInput(
            "adopt.incomplete",
            f"The Moodle to adopt is not known well enough: {place}.",
            "Give " + " ".join(missing) + (", or --config" if config is None else "") + ".",
        )
    engine_of(request)
    return replace(request, table_prefix=names.table_prefix(request.table_prefix or "mdl_"))


def engine_of(request: AdoptRequest) -> EngineName | None:
    """Return the engine of the request, None where it says none; raise InvalidInput."""
    if not request.engine:
        return None
    if request.engine not in _ENGINES:
        raise InvalidInput(
            "adopt.engine",
            f"VMoodle has no engine for the database type {request.engine!r}.",
            "One of " + ", ".join(_ENGINES) + ".",
        )
    return _ENGINES[request.engine]


def _with_config(request: AdoptRequest, config: ConfigValues) -> AdoptRequest:
    said: dict[str, object] = {
        "url": config.wwwroot,
        "database": config.dbname,
        "account": config.dbuser,
        "dataroot": config.dataroot,
        "table_prefix": config.prefix,
        "engine": config.dbtype,
        "host": config.dbhost,
        "port": config.port,
        "socket": config.socket,
    }
    taken = {name: value for name, value in said.items() if not getattr(request, name)}
    if request.password is None and "dbpass" not in config.unread:
        taken["password"] = config.dbpass
    notes = []
    if config.others:
        notes.append(
            "config.php also sets "
            + ", ".join(f"$CFG->{name}" for name in config.others)
            + f": force what the site needs (vmoodle forced set NAME VALUE --site "
            f"{request.shortname})"
        )
    return replace(request, **taken, notes=tuple(notes))  # type: ignore[arg-type]
