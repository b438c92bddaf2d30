"""What a plugin's version.php assigns, as the one that includes it in Moodle finds it.

Moodle makes an object, names it `$plugin` and `$module`, includes the file and asks the object
that `$plugin` is then (get_all_versions() in lib/classes/component.php, 3.6 to 5.1). A file that
makes an object of its own under the older name so has no version.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from vmoodle.moodle.php.source import Token, Unread, Value, literal, tokens

_NAMES = ("$plugin", "$module")
_VERSION = re.compile(r"\$(?:plugin|module)\s*->\s*version")
# What may make the file say something else than its plain assignments.
_LEAVES = frozenset(
    ("return", "include", "include_once", "require", "require_once", "goto", "eval")
)
_GUARD = "MOODLE_INTERNAL"


@dataclass
class PluginSource:
    """The literal values by name; `computed` where only PHP can tell the version."""

    facts: dict[str, Value] = field(default_factory=dict)
    computed: bool = False


def read_plugin_source(text: str) -> PluginSource:
    """Return what the file assigns to `$plugin`; the last assignment wins, as in PHP."""
    return _Reader().read(text)


class _Reader:
    """The objects behind the two names while the file is read."""

    def __init__(self) -> None:
        given = PluginSource()
        self._objects = dict.fromkeys(_NAMES, given)
        self._computed = False

    def read(self, text: str) -> PluginSource:
        depth, statement = 0, list[Token]()
        for token in tokens(text):
            if token.kind == "other" and token.text in "{};":
                self._statement(statement, depth)
                statement = []
                depth += {"{": 1, "}": -1}.get(token.text, 0)
            else:
                statement.append(token)
        self._statement(statement, depth)
        found = self._objects["$plugin"]
        found.computed = found.computed or self._computed
        return found

    def _statement(self, statement: list[Token], depth: int) -> None:
        targets, rest = _targets(statement)
        if not targets:
            guards = any(_GUARD in token.text for token in statement)
            if any(token.kind == "name" and token.text.lower() in _LEAVES for token in statement):
                self._computed = self._computed or not depth
            if not guards and any(_VERSION.fullmatch(token.text) for token in statement):
                self._computed = True
            return
        value = literal(rest)
        for target in targets:
            name, _arrow, member = target.partition("->")
            if name not in _NAMES:
                continue
            if member:
                self._assign(self._objects[name], member, value, rest, depth)
            else:
                self._rename(name, rest)

    def _assign(
        self,
        target: PluginSource,
        member: str,
        value: Value | Unread,
        rest: list[Token],
        depth: int,
    ) -> None:
        if member == "version":
            constant = len(rest) == 1 and rest[0].kind == "name" and value is not None
            target.computed = isinstance(value, Unread) or constant or depth > 0
        if isinstance(value, Unread):
            target.facts.pop(member, None)
        else:
            target.facts[member] = value

    def _rename(self, name: str, rest: list[Token]) -> None:
        if rest and rest[0].text.lower() == "new":
            self._objects[name] = PluginSource()
        elif len(rest) == 1 and rest[0].text in _NAMES:
            self._objects[name] = self._objects[rest[0].text]
        else:
            self._computed = True


def _targets(statement: list[Token]) -> tuple[list[str], list[Token]]:
    """Return the variables a statement assigns to, and what it assigns."""
    targets: list[str] = []
    rest = statement
    while len(rest) > 2 and rest[0].kind == "variable" and rest[1].text == "=":
        targets.append(re.sub(r"\s+", "", rest[0].text))
        rest = rest[2:]
    return targets, rest
