"""A baseline: what sites are to be, as a versioned document, with exceptions for some of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache
from typing import Any, NoReturn

from vmoodle.errors import InvalidInput, VMoodleError
from vmoodle.fleet.targets.expression import Attribute, read_expression
from vmoodle.moodle.config.names import (
    SettingName,
    SettingPattern,
    parse_pattern,
    parse_setting,
    refuse_by_hand,
)
from vmoodle.moodle.config.settings import check_value
from vmoodle.moodle.desired_state import DesiredRole, DesiredState
from vmoodle.moodle.plugins.rules import PluginState, split, states_of
from vmoodle.moodle.roles.definitions import Permission
from vmoodle.moodle.roles.documents import MEMBERS as ROLE_MEMBERS
from vmoodle.moodle.roles.documents import from_document
from vmoodle.moodle.setting_effects import holds_states
from vmoodle.yaml_nodes import Items, Members, Node, Text, plain, read_yaml

VERSION = "1"
NAME = re.compile(r"[a-z0-9]([a-z0-9_-]{0,38}[a-z0-9])?")
_PARTS = ("settings", "roles", "plugins")
_MEMBERS = ("version", "name", *_PARTS, "exceptions")
_BEYOND = "beyond"
_INHERIT = "inherit"
_PERMISSIONS = (*(one.name.lower() for one in Permission), _INHERIT)
# Members of a role that an exception changes entry by entry; it replaces the others.
_MERGED = ("permissions", "allows")

RoleDocument = Mapping[str, Any]


@dataclass(frozen=True)
class Wanted:
    """Settings, roles by shortname, and states of plugins."""

    settings: Mapping[SettingName, str | None] = field(default_factory=dict)
    roles: Mapping[str, RoleDocument] = field(default_factory=dict)
    plugins: Mapping[str, PluginState] = field(default_factory=dict)


@dataclass(frozen=True)
class Leave:
    """What is left to the sites themselves, by wildcards."""

    settings: tuple[SettingPattern, ...] = ()
    roles: tuple[str, ...] = ()
    plugins: tuple[str, ...] = ()


@dataclass(frozen=True)
class BaselineException:
    """What is otherwise on the sites that an expression means."""

    expression: str
    wanted: Wanted
    leave: Leave


@dataclass(frozen=True)
class Baseline:
    """What sites are to be."""

    name: str
    wanted: Wanted
    exceptions: tuple[BaselineException, ...] = ()

    def of(self, exceptions: Iterable[int]) -> DesiredState:
        """Return what a site is to be for which these exceptions hold; the last one wins."""
        settings = dict(self.wanted.settings)
        roles = dict(self.wanted.roles)
        plugins = dict(self.wanted.plugins)
        for number in exceptions:
            one = self.exceptions[number]
            for pattern in one.leave.settings:
                settings = {k: v for k, v in settings.items() if not pattern.matches(k)}
            roles = {k: v for k, v in roles.items() if not _is_one_of(k, one.leave.roles)}
            plugins = {k: v for k, v in plugins.items() if not _is_one_of(k, one.leave.plugins)}
            settings |= one.wanted.settings
            plugins |= one.wanted.plugins
            for shortname, document in one.wanted.roles.items():
                roles[shortname] = _merged(roles.get(shortname, {}), document)
        return DesiredState(settings, tuple(_role(one) for one in roles.values()), plugins)


@cache
def read_baseline(text: str) -> Baseline:
    """Return the baseline of a document.

    Raise InvalidInput: `baseline.yaml`, `baseline.key`, `baseline.version`, `baseline.value`,
    `baseline.secret`, each with its line; or the code of what is wrong with a name.
    """
    root = read_yaml(text)
    if not isinstance(root, Members):
        _refuse(root, "the document is no mapping", "It begins with version: 1.")
    version = root.members.get("version")
    if not isinstance(version, Text) or version.text != VERSION:
        raise InvalidInput(
            "baseline.version",
            f"Line {version.line if version else root.line}: this is no baseline of version 1.",
            "It begins with version: 1; a later version takes a later VMoodle.",
        )
    root.refuse_unknown(_MEMBERS)
    name = root.members.get("name")
    if not isinstance(name, Text) or not NAME.fullmatch(name.text):
        _refuse(name or root, "the baseline has no usable name", "1 to 40 of a-z, 0-9, - and _.")
    found = Baseline(name.text, _wanted(root), tuple(_exceptions(root)))
    if found.wanted == Wanted() and not found.exceptions:
        _refuse(root, "the baseline says nothing", f"It has {', '.join(_PARTS)}.")
    for exceptions in ([], *([number] for number in range(len(found.exceptions)))):
        found.of(exceptions)  # a role may be none only together with its exception
    return found


def _wanted(node: Members) -> Wanted:
    return Wanted(dict(_settings(node)), dict(_roles(node)), dict(_plugins(node)))


def _settings(node: Members) -> Iterator[tuple[SettingName, str | None]]:
    members = _mapping(node, "settings")
    seen: set[SettingName] = set()
    for key, value in members.members.items():
        line = members.lines[key]
        with _at(line):
            setting = parse_setting(key)
            refuse_by_hand(setting, unset=isinstance(value, Text) and value.is_null)
        if setting in seen:
            _refuse(line, f"{setting} is there already", "Name it once.")
        seen.add(setting)
        if not isinstance(value, Text):
            _refuse(line, f"the value of {setting} is no text", "A setting is one text.")
        if value.is_boolean:
            _refuse(
                line,
                f"{value.text} is no value of a setting",
                f'Write 1 or 0 for a switch, "{value.text}" in quotes for the word.',
            )
        if setting.hides(value.text) and not value.is_null:
            raise InvalidInput(
                "baseline.secret",
                f"Line {line}: {setting} is a secret, and a baseline is no place for one.",
                "Set it by `vmoodle config set`, from a file.",
            )
        if holds_states(setting):
            _refuse(line, f"{setting} is the state of plugins", "Name them under plugins.")
        with _at(line):
            check_value(setting, value.text)
        yield setting, None if value.is_null else value.text


def _plugins(node: Members) -> Iterator[tuple[str, PluginState]]:
    members = _mapping(node, "plugins")
    for key, value in members.members.items():
        line = members.lines[key]
        kind, name = split(key)
        states = states_of(kind)
        if not name or not states:
            _refuse(
                line,
                f"{key!r} names no plugin that has a state",
                "As in mod_chat; docs/reference/baselines.md has the kinds.",
            )
        word = value.text if isinstance(value, Text) else ""
        if word not in states:
            _refuse(line, f"{word!r} is no state of {key}", f"One of: {', '.join(states)}.")
        yield key, PluginState(word)


def _roles(node: Members) -> Iterator[tuple[str, RoleDocument]]:
    seen: set[str] = set()
    for one in _list(node, "roles"):
        if not isinstance(one, Members):
            _refuse(one, "a role is a mapping", "It begins with shortname:.")
        one.refuse_unknown((*ROLE_MEMBERS, _BEYOND))
        permissions = _mapping(one, "permissions")
        for name, value in permissions.members.items():
            if not isinstance(value, Text) or value.text not in _PERMISSIONS:
                _refuse(
                    permissions.lines[name],
                    f"that is no permission of {name}",
                    f"One of: {', '.join(_PERMISSIONS)}.",
                )
        document = plain(one)
        if document.get(_BEYOND, "remove") not in ("keep", "remove"):
            _refuse(one.lines[_BEYOND], "that says not what is beyond it", "keep, or remove.")
        with _at(one.line):
            from_document({k: v for k, v in document.items() if k != _BEYOND})
        shortname = str(document["shortname"])
        if shortname in seen:
            _refuse(one, f"the role {shortname!r} is there already", "Define it once.")
        seen.add(shortname)
        yield shortname, document


def _exceptions(node: Members) -> Iterator[BaselineException]:
    for one in _list(node, "exceptions"):
        if not isinstance(one, Members):
            _refuse(one, "an exception is a mapping", "It begins with label: or on:.")
        one.refuse_unknown(("label", "on", *_PARTS, "leave"))
        leave = _mapping(one, "leave")
        leave.refuse_unknown(_PARTS)
        with _at(leave.line):
            left = Leave(
                tuple(parse_pattern(text) for text in _texts(leave, "settings")),
                tuple(_texts(leave, "roles")),
                tuple(_texts(leave, "plugins")),
            )
        found = BaselineException(_expression(one), _wanted(one), left)
        if found.wanted == Wanted() and found.leave == Leave():
            _refuse(one, "the exception says nothing", f"It has {', '.join(_PARTS)}, or leave.")
        yield found


def _expression(node: Members) -> str:
    given = [key for key in ("label", "on") if key in node.members]
    value = node.members[given[0]] if len(given) == 1 else None
    if not isinstance(value, Text):
        _refuse(
            node, "an exception says for which sites it is", "label: key=value, or on: 'north*'"
        )
    with _at(value.line):
        if given == ["on"]:
            read_expression(value.text)
            return value.text
        tree = read_expression(f"label:{value.text}")
        if not isinstance(tree, Attribute):
            _refuse(value, f"{value.text!r} is no label", "As in tier=gold; on: takes more.")
        return f"label:{value.text}"


def _role(document: RoleDocument) -> DesiredRole:
    stated = {key: value for key, value in document.items() if key != _BEYOND}
    definition, parts = from_document(stated)
    inherit = frozenset(
        name for name, word in (stated.get("permissions") or {}).items() if word == _INHERIT
    )
    return DesiredRole(definition, parts, document.get(_BEYOND) == "keep", inherit)


def _merged(role: RoleDocument, other: RoleDocument) -> RoleDocument:
    merged = {**role, **other}
    for member in _MERGED:
        if member in role and member in other:
            merged[member] = {**(role[member] or {}), **(other[member] or {})}
    return merged


def _is_one_of(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _mapping(node: Members, key: str) -> Members:
    found = node.members.get(key)
    if found is None or (isinstance(found, Text) and found.is_null):
        return Members({}, {}, node.line)
    if not isinstance(found, Members):
        _refuse(node.lines[key], f"{key} is no mapping", "As in name: value, a line each.")
    return found


def _list(node: Members, key: str) -> tuple[Node, ...]:
    found = node.members.get(key)
    if found is None or (isinstance(found, Text) and found.is_null):
        return ()
    if not isinstance(found, Items):
        _refuse(node.lines[key], f"{key} is no list", "Each begins with a dash.")
    return found.items


def _texts(node: Members, key: str) -> list[str]:
    texts = []
    for one in _list(node, key):
        if not isinstance(one, Text) or not one.text:
            _refuse(one, f"{key} to be left are names", "As in [quiz/*].")
        texts.append(one.text)
    return texts


def _refuse(at: Node | int, what: str, hint: str) -> NoReturn:
    line = at if isinstance(at, int) else at.line
    raise InvalidInput("baseline.value", f"Line {line}: {what}.", hint)


@contextmanager
def _at(line: int) -> Iterator[None]:
    """Put the line in front of the message of an error that says none."""
    try:
        yield
    except VMoodleError as error:
        if error.message.startswith("Line "):
            raise
        message = f"Line {line}: {error.message}"
        raise type(error)(error.code, message, error.hint) from error
