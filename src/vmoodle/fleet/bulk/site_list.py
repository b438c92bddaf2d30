"""Read a list of sites from a CSV file, the original VMoodle's three kinds among them.

Only the text is judged here: no server is asked, and nothing is changed.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Literal

from vmoodle.errors import InvalidInput, VMoodleError
from vmoodle.hook.address import parse_wwwroot
from vmoodle.lifecycle import names

Action = Literal["create", "adopt", "snapshot"]
ACTIONS: tuple[Action, ...] = ("create", "adopt", "snapshot")

_LARGEST_BYTES = 20_000_000
_SEPARATORS = ";,\t|"
_EMBEDDED = "&#44"
_COMMENT = tuple("([-#/ \t")
# Not splitlines(), which ends lines at characters of ISO-8859-1 and Unicode too.
_LINE_END = re.compile(r"\r\n|\r|\n")
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_]{1,100}")
_PLUGIN_NAME = re.compile(r"[a-z][a-z0-9_]{0,99}")
_PLUGIN_SETTING = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_:./-]{0,99}")
# The original's column names, and ours for the same.
_SYNONYMS = {
    "vhostname": "url", "vtemplate": "template", "vdbtype": "engine", "vdbhost": "host",
    "vdblogin": "account", "vdbpass": "password", "vdbname": "database", "vdbprefix": "prefix",
    "vdatapath": "dataroot",
}  # fmt: skip
_KNOWN = frozenset(_SYNONYMS.values()) | {
    "action", "shortname", "name", "description", "snapshot", "codebase", "server", "labels",
    "admin_user", "admin_email", "admin_password", "enabled", "port", "socket", "config",
}  # fmt: skip
# They mean something to the original only; a network is made by other means.
_WITHOUT_MEANING = frozenset({"vdbpersist", "mnet", "services", "forcedns", "metadata"})
_NEEDED: Mapping[Action, tuple[str, ...]] = {
    "create": ("shortname", "url"),
    "adopt": ("shortname",),
    "snapshot": ("url",),
}
# What no administrator's list may set: it says what Moodle's database is at, or which site it is.
_NEVER_SET = frozenset({"version", "allversionshash", "siteidentifier", "release", "branch"})


@dataclass(frozen=True)
class ListedSite:
    """One line of a list: what to do, and the values by our names of the columns.

    `config` and `plugins` are settings of the new site. `problem` says what is wrong with the line.
    """

    line: int
    action: Action
    values: Mapping[str, str] = field(repr=False)
    config: Mapping[str, str] = field(default_factory=dict, repr=False)
    plugins: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)
    problem: VMoodleError | None = None

    def get(self, name: str) -> str:
        """Return a value, empty for none."""
        return self.values.get(name, "")


@dataclass(frozen=True)
class SiteList:
    """A list of sites: its lines, what is to be known of it, and whether it holds passwords."""

    rows: tuple[ListedSite, ...]
    notes: tuple[str, ...]
    holds_passwords: bool


def read_list(path: Path, *, separator: str = "", encoding: str = "", action: str = "") -> SiteList:
    """Return the sites of a CSV file; a line that cannot be used carries its problem.

    Without a separator or an encoding they are found out. `action` is what to do where neither a
    column nor the kind of list says it. Raise InvalidInput `import.file` for a file that cannot be
    read, `import.header` for columns that cannot be understood.
    """
    text, said = _text(path, encoding)
    lines = _lines(text)
    number, header = next(lines, (0, ""))
    if not number:
        raise InvalidInput("import.file", f"{path} lists nothing.", "Its first line is the header.")
    mark = _separator(separator, header)
    try:
        words = [word.strip().lower() for word in _split(header, mark)]
    except csv.Error as error:
        raise InvalidInput(
            "import.header",
            f"Line {number}, the header, has a quoted word that does not end.",
            'Write a quote in a word as "", or none at all.',
        ) from error
    columns = _columns(number, words)
    usual = _usual_action(action, columns)
    rows = tuple(_told_apart(_row(at, line, mark, columns, usual) for at, line in lines))
    ignored = sorted(_WITHOUT_MEANING & set(columns))
    notes = [*said, *([f"not used: {', '.join(ignored)}"] if ignored else [])]
    secret = {"password", "admin_password"} & set(columns)
    has_settings = any(row.config or row.plugins for row in rows)
    return SiteList(rows, tuple(notes), bool(secret) or has_settings)


def _text(path: Path, encoding: str) -> tuple[str, list[str]]:
    hint = "Give a text file in UTF-8 or ISO-8859-1 that this account may read."
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_BYTES + 1)
    except OSError as error:
        raise InvalidInput(
            "import.file", f"{path} cannot be read: {error.strerror}.", hint
        ) from error
    if len(content) > _LARGEST_BYTES or b"\0" in content:
        raise InvalidInput("import.file", f"{path} is no list of sites.", hint)
    try:
        return content.decode(encoding or "utf-8-sig"), []
    except LookupError as error:
        raise InvalidInput(
            "import.file", f"There is no encoding {encoding!r}.", "utf-8 or iso-8859-1."
        ) from error
    except UnicodeDecodeError as error:
        if encoding:
            raise InvalidInput("import.file", f"{path} is not {encoding}.", hint) from error
        return content.decode("iso-8859-1"), ["it is not UTF-8 and was read as ISO-8859-1"]


def _lines(text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(_LINE_END.split(text), 1):
        if line.strip() and not line.startswith(_COMMENT):
            yield number, line


def _separator(given: str, header: str) -> str:
    if given:
        mark = "\t" if given in ("\\t", "tab") else given
        if len(mark) != 1 or mark.isalnum() or mark in "\"'_":
            raise InvalidInput(
                "import.separator", f"{given!r} cannot separate columns.", "One of ; , tab |."
            )
        return mark
    return max(_SEPARATORS, key=header.count)


def _split(line: str, mark: str) -> list[str]:
    cells = next(csv.reader([line], delimiter=mark, strict=True))
    return [cell.replace(_EMBEDDED, mark).strip() for cell in cells]


def _columns(number: int, words: list[str]) -> list[str]:
    columns = [_SYNONYMS.get(word, word) for word in words]
    unknown = [word for word in columns if not _is_column(word)]
    twice = sorted({word for word in columns if columns.count(word) > 1})
    if unknown or twice:
        said = f"knows no column {', '.join(unknown)}" if unknown else f"names {twice[0]} twice"
        raise InvalidInput(
            "import.header",
            f"Line {number}, the header, {said}.",
            "Columns: " + ", ".join(sorted(_KNOWN)) + ", config_<key>, <component>|<setting>; or "
            "those of the original VMoodle.",
        )
    return columns


def _is_column(word: str) -> bool:
    if word in _KNOWN or word in _WITHOUT_MEANING:
        return True
    if word.startswith("config_"):
        key = word.removeprefix("config_")
        return _PLAIN_NAME.fullmatch(key) is not None and key not in _NEVER_SET
    component, separator, setting = word.partition("|")
    return bool(
        separator
        and _PLUGIN_NAME.fullmatch(component)
        and _PLUGIN_SETTING.fullmatch(setting)
        and setting != "version"
    )


def _usual_action(given: str, columns: list[str]) -> Action:
    """Return what the lines of a list are for: given, or told by the original's kind of list."""
    if given:
        return _action(given)
    meant = set(columns) - _WITHOUT_MEANING
    if meant == {"url"}:
        return "snapshot"
    if "config" in meant or ({"database", "dataroot"} <= meant and "template" not in meant):
        return "adopt"
    return "create"


def _action(word: str) -> Action:
    for action in ACTIONS:
        if word == action:
            return action
    raise InvalidInput(
        "import.action", f"{word!r} is nothing a list can do.", "One of " + ", ".join(ACTIONS) + "."
    )


def _row(number: int, line: str, mark: str, columns: list[str], usual: Action) -> ListedSite:
    try:
        cells = _split(line, mark)
    except csv.Error:
        problem = InvalidInput(
            "import.columns", "A quoted value does not end.", 'Write a quote in a value as "".'
        )
        return ListedSite(number, usual, {}, problem=problem)
    if len(cells) != len(columns):
        problem = InvalidInput(
            "import.columns",
            f"It has {len(cells)} columns, the header {len(columns)}.",
            f"Write the separator within a value as {_EMBEDDED}.",
        )
        return ListedSite(number, usual, {}, problem=problem)
    filled = {column: cell for column, cell in zip(columns, cells, strict=True) if cell}
    values = {column: cell for column, cell in filled.items() if column in _KNOWN}
    config, plugins = _settings(filled)
    action, faults = usual, _Faults()
    if values.get("action"):
        with faults:
            action = _action(values["action"])
    elif values.get("template") == "0":  # the original's "reactivate"
        action = "adopt"
    # Where nobody knows what the line is to do, nothing is known of what that takes.
    _check(faults, None if faults.found else action, values, has_settings=bool(config or plugins))
    return ListedSite(number, action, values, config, plugins, faults.as_one())


class _Faults:
    """Catches what each check of a line raises, so that all of it is said at once."""

    def __init__(self, *found: VMoodleError) -> None:
        self.found = list(found)

    def __enter__(self) -> None:
        """Begin one check."""

    def __exit__(
        self, _kind: object, error: BaseException | None, _traceback: TracebackType | None
    ) -> bool:
        if isinstance(error, VMoodleError):
            self.found.append(error)
            return True
        return False

    def as_one(self) -> VMoodleError | None:
        """Return them as one error with the first one's code, None for none."""
        if len(self.found) < 2:
            return self.found[0] if self.found else None
        return InvalidInput(
            self.found[0].code,
            " ".join(fault.message for fault in self.found),
            " ".join(dict.fromkeys(fault.hint for fault in self.found)),
        )


def _settings(filled: Mapping[str, str]) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    config: dict[str, str] = {}
    plugins: dict[str, dict[str, str]] = {}
    for column, cell in filled.items():
        component, separator, setting = column.partition("|")
        if separator:
            plugins.setdefault(component, {})[setting] = cell
        elif column.startswith("config_"):
            config[column.removeprefix("config_")] = cell
    return config, plugins


def _check(
    faults: _Faults, action: Action | None, values: Mapping[str, str], *, has_settings: bool
) -> None:
    """Find what is wrong with the words of a line, as far as the words alone tell."""
    missing = [name for name in _NEEDED[action] if name not in values] if action else []
    if action and missing:
        with faults:
            raise InvalidInput(
                "import.missing",
                f"It has no {', '.join(missing)}.",
                f"To {action} a site takes {', '.join(_NEEDED[action])}.",
            )
    for name, check in _CHECKS.items():
        if name in values:
            with faults:
                check(values[name])
    if action not in ("create", None) and has_settings:
        with faults:
            raise InvalidInput(
                "import.settings",
                "Settings are written into new sites only; this one is not made here.",
                "Leave its config_ and component|setting columns empty.",
            )


def _port(text: str) -> None:
    if not text.isdigit():
        raise InvalidInput("import.value", "Its port is no number.", "Something like 3306.")


def _enabled(text: str) -> None:
    if text not in ("0", "1"):
        raise InvalidInput("import.value", "enabled is neither 0 nor 1.", "enabled is 0 or 1.")


def label_words(text: str) -> list[str]:
    """Return the `key=value` words of a cell."""
    return text.split()


# What raises InvalidInput for a value that cannot be, by its column.
_CHECKS: Mapping[str, Callable[[str], object]] = {
    "shortname": names.shortname,
    "url": parse_wwwroot,
    "name": names.full_name,
    "prefix": names.table_prefix,
    "port": _port,
    "enabled": _enabled,
    "labels": lambda text: names.labels(label_words(text)),
}


_SAID = {"shortname": "shortname", "url": "address"}


def _told_apart(rows: Iterator[ListedSite]) -> Iterator[ListedSite]:
    """Give the lines; one that names a site of an earlier line again carries that problem."""
    seen: dict[tuple[str, str], int] = {}
    for row in rows:
        said = [(name, row.get(name)) for name in ("shortname", "url") if row.get(name)]
        again = [(name, text, seen[name, text]) for name, text in said if (name, text) in seen]
        if again:
            faults = _Faults(*([row.problem] if row.problem else []))
            faults.found += [
                InvalidInput(
                    "import.twice",
                    f"Line {at} has the {_SAID[name]} {text} already.",
                    "Remove one of the two lines, or choose another.",
                )
                for name, text, at in again
            ]
            yield replace(row, problem=faults.as_one())
            continue
        seen |= dict.fromkeys(said, row.line)
        yield row
