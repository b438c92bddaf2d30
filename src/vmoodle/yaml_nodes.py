"""YAML as texts with their lines: no value is turned into a number, a date or a boolean.

What a person wrote is what is meant, so `1.10` stays `1.10`; who reads a node says which words it
takes. Aliases, tags and keys that come twice are refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import yaml

from vmoodle.errors import InvalidInput
from vmoodle.near import near

_LARGEST_BYTES = 5_000_000
_DEEPEST = 20
# The C parser where there is one: ten times as fast.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_PLAIN = "tag:yaml.org,2002:"
_SCALARS = {"str", "int", "float", "bool", "null", "timestamp", "merge", "value"}


@dataclass(frozen=True)
class Text:
    """A text as it is written. A plain `yes` or `null` is told from one in quotes."""

    text: str
    line: int
    is_null: bool = False
    is_boolean: bool = False


@dataclass(frozen=True)
class Items:
    """A list."""

    items: tuple[Node, ...]
    line: int


@dataclass(frozen=True)
class Members:
    """A mapping, with the line of each of its keys."""

    members: Mapping[str, Node]
    lines: Mapping[str, int]
    line: int

    def refuse_unknown(self, known: Iterable[str]) -> None:
        """Raise InvalidInput `baseline.key` for a key that means nothing here."""
        words = list(known)
        for key, line in self.lines.items():
            if key not in words:
                hint = near(key, words, f"There are: {', '.join(words)}.")
                raise InvalidInput("baseline.key", f"Line {line}: {key!r} means nothing.", hint)


Node: TypeAlias = Text | Items | Members


def read_yaml(text: str) -> Node:
    """Return the one document of a text; raise InvalidInput `baseline.yaml` with the line."""
    root = _composed(text, lambda: yaml.compose(text, Loader=_LOADER))
    if root is None:
        raise _wrong("The document is empty.")
    return _node(root)


def read_documents(text: str) -> list[Node]:
    """Return the documents of a text, without empty ones; raise as `read_yaml`."""
    found = _composed(text, lambda: list(yaml.compose_all(text, Loader=_LOADER)))
    nodes = [_node(one) for one in found]
    return [one for one in nodes if not (isinstance(one, Text) and one.is_null)]


def plain(node: Node) -> Any:
    """Return a node as mappings, lists, texts and None."""
    if isinstance(node, Members):
        return {key: plain(value) for key, value in node.members.items()}
    if isinstance(node, Items):
        return [plain(one) for one in node.items]
    return None if node.is_null else node.text


def _composed(text: str, compose: Callable[[], Any]) -> Any:
    if len(text) > _LARGEST_BYTES:
        raise InvalidInput("baseline.yaml", "The document is too large.", "Split it into several.")
    try:
        _refuse_odd(text)
        return compose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f"Line {mark.line + 1}: " if mark else ""
        raise _wrong(f"{line}that is no YAML: {error.problem or error.context}.") from error
    except yaml.YAMLError as error:
        raise _wrong(f"That is no YAML: {' '.join(str(error).split())}.") from error


def _refuse_odd(text: str) -> None:
    """Refuse what would take more than the text's own size to read."""
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, yaml.AliasEvent):
            raise _wrong(f"Line {line}: an alias (*{event.anchor}) is not taken.")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > _DEEPEST:
                raise _wrong(f"Line {line}: it is nested too deep.")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _node(node: yaml.Node) -> Node:
    line = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        members: dict[str, Node] = {}
        lines: dict[str, int] = {}
        for key, value in node.value:
            name, at = _key(key), key.start_mark.line + 1
            if name in members:
                raise _wrong(f"Line {at}: {name!r} is there already, in line {lines[name]}.")
            members[name], lines[name] = _node(value), at
        return Members(members, lines, line)
    if isinstance(node, yaml.SequenceNode):
        return Items(tuple(_node(one) for one in node.value), line)
    tag = node.tag.removeprefix(_PLAIN)
    if tag not in _SCALARS:
        raise _wrong(f"Line {line}: the tag {node.tag} is not taken.")
    return Text(node.value, line, tag == "null", tag == "bool")


def _key(node: yaml.Node) -> str:
    if not isinstance(node, yaml.ScalarNode):
        raise _wrong(f"Line {node.start_mark.line + 1}: a key is a text.")
    return str(node.value)


def _wrong(what: str) -> InvalidInput:
    return InvalidInput(
        "baseline.yaml",
        what,
        "docs/reference/baselines.md has the form; texts with : # * ! @ go in quotes.",
    )
