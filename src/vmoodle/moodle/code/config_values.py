"""What a Moodle's own config.php says: read as text, never executed."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from vmoodle.errors import InvalidInput
from vmoodle.moodle.code.config_php import OURS, classify
from vmoodle.moodle.php.source import Number, Token, Unread, Value, literal, statements
from vmoodle.secret import Secret

# More than any config.php that people write.
_LARGEST_BYTES = 500_000
_SETTING = re.compile(r"\$CFG->(\w+)")
# What Moodle's installer writes besides the database (lib/installlib.php, 3.6 to 5.1): the hook
# sets these itself for every site.
_OF_THE_INSTALLER = frozenset({"dirroot", "admin", "directorypermissions", "dblibrary", "libdir"})
_TEXTS = ("dbtype", "dbhost", "dbname", "dbuser", "dbpass", "prefix", "wwwroot", "dataroot")
_OPTIONS = ("dbport", "dbsocket")
_CONSTANTS = {"true": True, "false": False}


@dataclass(frozen=True)
class ConfigValues:
    """What a config.php assigns; a member is empty where it assigns nothing that can be read.

    `unread` names the members of which VMoodle cannot tell the value without running PHP, `others`
    the settings beyond those of Moodle's installer.
    """

    dbtype: str = ""
    dbhost: str = ""
    dbname: str = ""
    dbuser: str = ""
    dbpass: Secret = field(default_factory=lambda: Secret(""))
    prefix: str = ""
    wwwroot: str = ""
    dataroot: str = ""
    port: int | None = None
    socket: str = ""
    unread: tuple[str, ...] = ()
    others: tuple[str, ...] = ()


def read_config(path: Path) -> ConfigValues:
    """Return what a physical config.php says.

    Raise InvalidInput `adopt.config.unreadable` for a file that cannot be read, `adopt.config.ours`
    for one that VMoodle wrote, `adopt.config.none` for one that sets no `$CFG`.
    """
    found = _Assigned(_read(path))
    if not found.names:
        raise InvalidInput(
            "adopt.config.none",
            f"{path} sets no member of $CFG.",
            "Name the config.php that the Moodle was run with.",
        )
    texts = {name: found.text(name) for name in _TEXTS}
    options = {name: found.option(name) for name in _OPTIONS}
    port = options["dbport"]
    return ConfigValues(
        **{name: text for name, text in texts.items() if name != "dbpass"},
        dbpass=Secret(texts["dbpass"]),
        port=int(port) if port.isdigit() and int(port) else None,
        socket=options["dbsocket"] if options["dbsocket"].startswith("/") else "",
        unread=tuple(name for name in (*_TEXTS, "dboptions") if found.is_unread(name)),
        others=tuple(
            name
            for name in sorted(found.names)
            if name not in {*_TEXTS, "dboptions"} | _OF_THE_INSTALLER
        ),
    )


def _read(path: Path) -> str:
    hint = "Give the path of a file that VMoodle's account may read."
    try:
        if path.is_file() and classify(path) == OURS:
            raise InvalidInput(
                "adopt.config.ours",
                f"{path} is VMoodle's own: it names no single site.",
                "What stood there before is beside it, as config.before-vmoodle.php.",
            )
        with path.open("rb") as file:
            content = file.read(_LARGEST_BYTES + 1)
    except OSError as error:
        raise InvalidInput(
            "adopt.config.unreadable", f"{path} cannot be read: {error.strerror}.", hint
        ) from error
    if len(content) > _LARGEST_BYTES:
        raise InvalidInput("adopt.config.unreadable", f"{path} is too large to be one.", hint)
    return content.decode("utf-8", errors="replace")


class _Assigned:
    """The members of `$CFG` that a file assigns, each with every value it is given."""

    def __init__(self, source: str) -> None:
        self._values: dict[str, list[Value]] = defaultdict(list)
        self._options: dict[str, list[Value]] = defaultdict(list)
        self._opaque: set[str] = set()
        for statement in statements(source):
            self._note(statement)

    @property
    def names(self) -> set[str]:
        """Every member that is assigned, readable or not."""
        names = set(self._values) | self._opaque
        return names | ({"dboptions"} if self._options else set())

    def is_unread(self, name: str) -> bool:
        """Tell whether the member's value depends on more than the text of the file."""
        return name in self._opaque or _differ(self._values.get(name, []))

    def text(self, name: str) -> str:
        """Return a member's one value as text, empty where there is none or more than one."""
        return "" if self.is_unread(name) else _text(self._values.get(name, []))

    def option(self, name: str) -> str:
        """Return a member of dboptions as text."""
        given = [
            value[name]
            for value in self._values.get("dboptions", [])
            if isinstance(value, dict) and name in value
        ]
        return _text(given + self._options.get(name, []))

    def _note(self, statement: list[Token]) -> None:
        # `if (…) $CFG->x = 1` has its condition in front.
        start = next(
            (at for at, token in enumerate(statement) if _SETTING.match(_plain(token))), None
        )
        if start is None:
            return
        name = _plain(statement[start]).partition("->")[2]
        rest = statement[start + 1 :]
        if rest and rest[0].text == "[" and name == "dboptions":
            self._note_option(rest)
            return
        words = [token.text for token in rest[:2]]
        if words == [".", "="]:
            self._opaque.add(name)
        if words[:1] != ["="] or words == ["=", "="]:
            return
        value = literal(rest[1:])
        if isinstance(value, Unread):
            self._opaque.add(name)
        else:
            self._values[name].append(value)

    def _note_option(self, rest: list[Token]) -> None:
        if len(rest) > 4 and rest[1].kind == "string" and rest[2].text == "]":
            value = literal(rest[4:])
            if not isinstance(value, Unread):
                self._options[str(literal([rest[1]]))].append(value)


def _plain(token: Token) -> str:
    return re.sub(r"\s+", "", token.text) if token.kind == "variable" else ""


def _differ(values: list[Value]) -> bool:
    return any(value != values[0] for value in values)


def _text(values: list[Value]) -> str:
    if not values or values[-1] is None or isinstance(values[-1], list | dict):
        return ""
    value = values[-1]
    if isinstance(value, Number):
        return value.text
    return "" if value.lower() in _CONSTANTS else value
