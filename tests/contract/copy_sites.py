"""Four sites on two engines with a moodledata each, and what is copied between them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.contract.test_sql import NAMES, Mixed
from tests.trees import make_tree

from vmoodle.engines.protocol import SiteConnection

_KINDS = {
    "mariadb": {"id": "BIGINT AUTO_INCREMENT PRIMARY KEY", "text": "LONGTEXT", "bytes": "LONGBLOB"},
    "postgresql": {"id": "BIGSERIAL PRIMARY KEY", "text": "TEXT", "bytes": "BYTEA"},
}
TABLES = {
    "files": "contenthash VARCHAR(40) NOT NULL, pathnamehash VARCHAR(40) NOT NULL UNIQUE,"
    " contextid BIGINT NOT NULL, component VARCHAR(100) NOT NULL, filearea VARCHAR(50) NOT NULL,"
    " itemid BIGINT NOT NULL, filepath VARCHAR(255) NOT NULL, filename VARCHAR(255) NOT NULL,"
    " userid BIGINT, filesize BIGINT NOT NULL, mimetype VARCHAR(100), status BIGINT NOT NULL,"
    " source {text}, author VARCHAR(255), license VARCHAR(255), timecreated BIGINT NOT NULL,"
    " timemodified BIGINT NOT NULL, sortorder BIGINT NOT NULL, referencefileid BIGINT",
    "context": "contextlevel BIGINT NOT NULL, instanceid BIGINT NOT NULL",
    "tool_customlang_components": "name VARCHAR(255) NOT NULL",
    "tool_customlang": "lang VARCHAR(20) NOT NULL, componentid BIGINT NOT NULL,"
    " stringid VARCHAR(255) NOT NULL, master {text}, local {text}, timecustomized BIGINT,"
    " modified BIGINT NOT NULL",
    "local_news": "name VARCHAR(40) NOT NULL UNIQUE, body {text}, picture {bytes},"
    " score DECIMAL(10,5), ratio DOUBLE PRECISION, courseid BIGINT NOT NULL,"
    " usermodified BIGINT NOT NULL, `order` BIGINT",
    "local_shelf": "name VARCHAR(40) NOT NULL",
    "local_book": "shelfid BIGINT NOT NULL, title VARCHAR(40) NOT NULL",
    "local_kinds": "name VARCHAR(40) NOT NULL",
    "local_thing": "kindid BIGINT NOT NULL",
    "local_reader": "userid BIGINT NOT NULL, name VARCHAR(40)",
    "local_door": "name VARCHAR(40), apikey VARCHAR(40)",
}
_INSTALL_XML = """<?xml version="1.0" encoding="UTF-8" ?>
<XMLDB PATH="lib/db" VERSION="1"><TABLES><TABLE NAME="local_book"><KEYS>
<KEY NAME="primary" TYPE="primary" FIELDS="id"/>
<KEY NAME="shelf" TYPE="foreign" FIELDS="shelfid" REFTABLE="local_shelf" REFFIELDS="id"/>
</KEYS></TABLE></TABLES></XMLDB>
"""


@dataclass(frozen=True)
class CopySites:
    """The sites, and the words of an administrator."""

    mixed: Mixed
    data: Path

    def ask(self, site: str, sql: str) -> list[tuple[Any, ...]]:
        return self.mixed.ask(site, sql)

    def change(self, site: str, act: Callable[[SiteConnection], object]) -> None:
        with self.mixed.engines[site].connect(
            self.mixed.databases[site], read_only=False
        ) as connection:
            act(connection)

    def copy(
        self, *words: str, on: str, status: int = 0, confirm: bool = False, **more: Any
    ) -> dict[str, Any]:
        """Copy, and return the run's answers by site; `run` is its id."""
        words = ("copy", *words, "--from", "m1", "--on", on)
        if confirm:
            problem = self.mixed.fleet.problem(*words, "--yes", **more)
            words += ("--confirm", problem["hint"].split("--confirm ")[1].split(". ")[0])
        return self.answers(self.mixed.fleet.json(*words, "--yes", status=status, **more))

    def undo(self, run: str, status: int = 0) -> dict[str, Any]:
        words = ("run", "undo", run)
        problem = self.mixed.fleet.run(*words, "--yes", "--json", status=None)
        if "--confirm " not in problem.stderr:
            import json

            assert problem.returncode == status, problem
            return self.answers(json.loads(problem.stdout))
        phrase = problem.stderr.split("--confirm ")[1].split(". ")[0].split('"')[0]
        return self.answers(self.mixed.fleet.json(*words, "--confirm", phrase, status=status))

    @staticmethod
    def answers(document: dict[str, Any]) -> dict[str, Any]:
        return {"run": document["run"]} | {row["site"]: row for row in document["results"]}

    def pool_file(self, site: str, content: bytes) -> Path:
        name = hashlib.sha1(content, usedforsecurity=False).hexdigest()
        path = self.data / site / "filedir" / name[:2] / name[2:4] / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def store(self, site: str, area: str, name: str, content: bytes, setting: str = "") -> None:
        """Keep a file in an area as Moodle does, with its directory, and the setting."""
        component, filearea = area.split("/")
        context = int(self.ask(site, "SELECT id FROM {context} WHERE contextlevel = 10")[0][0])
        self.pool_file(site, content)

        def act(connection: SiteConnection) -> None:
            for one, of in ((".", b""), (name, content)):
                place = f"/{context}/{component}/{filearea}/0/{one}"
                connection.execute(
                    "INSERT INTO {files} (contenthash, pathnamehash, contextid, component,"
                    " filearea, itemid, filepath, filename, userid, filesize, mimetype, status,"
                    " source, author, license, timecreated, timemodified, sortorder)"
                    " VALUES (%s, %s, %s, %s, %s, 0, '/', %s, 2, %s, %s, 0, %s, 'Ä', 'unknown',"
                    " 1, 2, 0)",
                    (
                        hashlib.sha1(of, usedforsecurity=False).hexdigest(),
                        hashlib.sha1(place.encode(), usedforsecurity=False).hexdigest(),
                        context, component, filearea, one, len(of),
                        None if one == "." else "image/png", None if one == "." else name,
                    ),
                )  # fmt: skip
            if setting:
                connection.execute(
                    "INSERT INTO {config_plugins} (plugin, name, value) VALUES (%s, %s, %s)",
                    (component, setting, f"/{name}"),
                )

        self.change(site, act)

    def area(self, site: str, area: str) -> list[tuple[Any, ...]]:
        component, filearea = area.split("/")
        return self.ask(
            site,
            "SELECT pathnamehash, contenthash, filename, filesize, mimetype, author, userid"
            f" FROM {{files}} WHERE component = '{component}' AND filearea = '{filearea}'"
            " ORDER BY filename",
        )

    def setting(self, site: str, component: str, name: str) -> str | None:
        rows = self.ask(
            site,
            f"SELECT value FROM {{config_plugins}} WHERE plugin = '{component}'"
            f" AND name = '{name}'",
        )
        return rows[0][0] if rows else None

    def revision(self, site: str, name: str) -> int:
        rows = self.ask(site, f"SELECT value FROM {{config}} WHERE name = '{name}'")
        return int(rows[0][0]) if rows else 0


@pytest.fixture
def sites(mixed: Mixed, tmp_path: Path) -> CopySites:
    """Give the sites of both engines a moodledata, a code tree and the tables that are copied."""
    from vmoodle.registry.models import Codebase, Site

    tree = make_tree(
        tmp_path / "tree",
        files={
            "lib/db/install.xml": _INSTALL_XML,
            "lib/components.json": '{"plugintypes": {}, "subsystems": {}}',
        },
    )
    Codebase.objects.update(path=str(tree))
    made = CopySites(mixed, tmp_path / "data")
    for name in NAMES:
        (made.data / name).mkdir(parents=True)
        Site.objects.filter(shortname=name).update(dataroot=str(made.data / name))
        made.change(name, lambda connection, name=name: _fill(connection, name))
    return made


def _fill(connection: SiteConnection, name: str) -> None:
    postgresql = name.startswith("p")
    kinds = _KINDS["postgresql" if postgresql else "mariadb"]
    for table, columns in TABLES.items():
        text = columns.format(**kinds).replace("`", '"' if postgresql else "`")
        connection.execute(f"CREATE TABLE {{{table}}} (id {kinds['id']}, {text})")
    # Each site counts its contexts by itself.
    first = NAMES.index(name) + 1
    connection.execute(
        "INSERT INTO {context} (id, contextlevel, instanceid) VALUES (%s, 10, 0)", (first,)
    )
    connection.execute(
        "INSERT INTO {config} (name, value) VALUES ('siteadmins', %s)", (f"{first},99",)
    )
