"""Which columns of Moodle's tables hold ids of which tables, as the install.xml of a tree say."""

from __future__ import annotations

import threading
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from vmoodle.errors import InvalidInput
from vmoodle.moodle.code.components import plugins
from vmoodle.moodle.code.tree import MoodleTree

_READING = threading.Lock()


@dataclass(frozen=True)
class References:
    """The declared keys between tables; Moodle declares most, and no database knows of them."""

    columns: Mapping[str, Mapping[str, str]]
    """The table whose ids a column holds, by column, by table."""
    holders: Mapping[str, tuple[str, ...]]
    """The columns, as `lti.typeid`, that hold a table's ids."""


def references(codebase: Path) -> References:
    """Return the keys of core and of every plugin in a tree; raise InvalidInput as MoodleTree."""
    tree = MoodleTree.open(codebase)
    with _READING:  # many sites at once have one tree
        return _references(tree.root, tree.version.literal)


@lru_cache(maxsize=16)
def _references(root: Path, _version: str) -> References:
    tree = MoodleTree.open(root)
    columns: dict[str, dict[str, str]] = {}
    holders: dict[str, list[str]] = {}
    places = [tree.webroot / "lib", *(plugin.path for plugin in plugins(tree))]
    for file in (place / "db" / "install.xml" for place in places):
        if not file.is_file():
            continue
        for table, column, other in _keys(file):
            columns.setdefault(table, {})[column] = other
            holders.setdefault(other, []).append(f"{table}.{column}")
    return References(columns, {table: tuple(sorted(set(by))) for table, by in holders.items()})


def _keys(file: Path) -> Iterator[tuple[str, str, str]]:
    try:
        root = ET.parse(file).getroot()  # noqa: S314 - the code that the sites run
    except (ET.ParseError, OSError) as error:
        raise InvalidInput(
            "codebase.installxml", f"{file} cannot be read.", "Put back the file of the release."
        ) from error
    for table in root.iter("TABLE"):
        for key in table.iter("KEY"):
            other = key.get("REFTABLE")
            if not other:
                continue
            mine, theirs = (
                [one.strip() for one in (key.get(name) or "").split(",")]
                for name in ("FIELDS", "REFFIELDS")
            )
            for column, of_other in zip(mine, theirs, strict=False):
                if of_other == "id":
                    yield table.get("NAME") or "", column, other
