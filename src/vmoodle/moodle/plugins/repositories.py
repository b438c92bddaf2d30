"""What a kind of repository has on a site, which goes when Moodle disables it: kept, put back.

Moodle deletes its instances, their options and its settings, and the files of the site that are
links into it: repository/lib.php, repository_type::delete, repository::delete; the same in 4.5 and
5.1. Rows can be put back; files cannot.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from vmoodle.engines.protocol import SiteConnection
from vmoodle.errors import Refused
from vmoodle.moodle.database.site_schema import marks
from vmoodle.moodle.database.table_rows import as_json, from_json

_INSTANCE = "id, name, userid, contextid, username, password, timecreated, timemodified, readonly"
_CONTEXT = _INSTANCE.split(", ").index("contextid")
_OF_TYPE = "typeid IN (SELECT id FROM {repository} WHERE type = %s)"

_Row = tuple[Any, ...]


@dataclass(frozen=True)
class KeptRepository:
    """Rows of one kind of repository; its settings and options may be secrets."""

    name: str
    settings: Mapping[str, str] = field(repr=False)
    instances: Sequence[_Row] = field(repr=False)
    options: Sequence[_Row] = field(repr=False)

    def as_data(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return {
            "name": self.name,
            "settings": dict(self.settings),
            "instances": [as_json(row) for row in self.instances],
            "options": [as_json(row) for row in self.options],
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> KeptRepository:
        """Return what `as_data` gave."""
        return cls(
            data["name"],
            data["settings"],
            [from_json(row) for row in data["instances"]],
            [from_json(row) for row in data["options"]],
        )


def read_repository(connection: SiteConnection, name: str) -> KeptRepository:
    """Return what a kind of repository has."""
    return KeptRepository(
        name,
        _settings(connection, name),
        connection.query(
            f"SELECT {_INSTANCE} FROM {{repository_instances}} WHERE {_OF_TYPE} ORDER BY id",  # noqa: S608
            (name,),
        ),
        connection.query(
            "SELECT instanceid, name, value FROM {repository_instance_config} WHERE instanceid IN"  # noqa: S608
            f" (SELECT id FROM {{repository_instances}} WHERE {_OF_TYPE}) ORDER BY id",
            (name,),
        ),
    )


def gone(connection: SiteConnection, before: KeptRepository) -> KeptRepository:
    """Return what Moodle has taken of it; a setting may be another plugin's of the same name."""
    now = _settings(connection, before.name)
    return replace(
        before, settings={name: value for name, value in before.settings.items() if name not in now}
    )


def put_back(connection: SiteConnection, kept: KeptRepository) -> None:
    """Give a kind of repository that Moodle has made anew what it had, with the same ids.

    What Moodle has made with it is removed; an instance whose course or user is gone stays away.
    """
    ((kind,),) = connection.query("SELECT id FROM {repository} WHERE type = %s", (kept.name,))
    connection.execute(
        "DELETE FROM {repository_instance_config} WHERE instanceid IN"
        " (SELECT id FROM {repository_instances} WHERE typeid = %s)",
        (kind,),
    )
    connection.execute("DELETE FROM {repository_instances} WHERE typeid = %s", (kind,))
    written = set()
    for row in kept.instances:
        if connection.query("SELECT id FROM {context} WHERE id = %s", (row[_CONTEXT],)):
            connection.execute(
                f"INSERT INTO {{repository_instances}} ({_INSTANCE}, typeid)"  # noqa: S608
                f" VALUES ({marks((*row, kind))})",
                (*row, kind),
            )
            written.add(row[0])
    for instance, name, value in kept.options:
        if instance in written:
            connection.execute(
                "INSERT INTO {repository_instance_config} (instanceid, name, value)"
                " VALUES (%s, %s, %s)",
                (instance, name, value),
            )
    for name, value in kept.settings.items():
        connection.execute(
            "DELETE FROM {config_plugins} WHERE plugin = %s AND name = %s", (kept.name, name)
        )
        connection.execute(
            "INSERT INTO {config_plugins} (plugin, name, value) VALUES (%s, %s, %s)",
            (kept.name, name, value),
        )


def count_instances(connection: SiteConnection, name: str) -> int:
    """Return how many instances a kind of repository has, of courses and users too."""
    ((count,),) = connection.query(
        f"SELECT COUNT(*) FROM {{repository_instances}} WHERE {_OF_TYPE}",  # noqa: S608
        (name,),
    )
    return int(count)


def refuse_linked_files(connection: SiteConnection, name: str) -> None:
    """Raise Refused `plugin.state.files` where files of the site are links into a repository."""
    ((count,),) = connection.query(
        "SELECT COUNT(*) FROM {files} f JOIN {files_reference} r ON r.id = f.referencefileid"  # noqa: S608
        f" JOIN {{repository_instances}} i ON i.id = r.repositoryid WHERE i.{_OF_TYPE}",
        (name,),
    )
    if count:
        raise Refused(
            "plugin.state.files",
            f"Files of the site that are links into repository_{name}: {count}. Moodle would "
            "delete them with it.",
            f"Hide it (repository_{name}=hidden), or remove it in the site's administration, which "
            "can copy the files before.",
        )


def _settings(connection: SiteConnection, name: str) -> dict[str, str]:
    rows = connection.query("SELECT name, value FROM {config_plugins} WHERE plugin = %s", (name,))
    return {str(key): str(value) for key, value in rows}
