"""A role's definition as a document for people: what a YAML baseline or a JSON export holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import IntEnum
from typing import Any

import yaml

from vmoodle.errors import InvalidInput
from vmoodle.moodle.roles.definitions import Allow, ContextLevel, Permission, RoleDefinition, word
from vmoodle.moodle.roles.plan import ALL_PARTS, FIELDS, Part, check_definition
from vmoodle.yaml_nodes import plain, read_documents

MEMBERS = ("shortname", *map(str, FIELDS), "context_levels", "permissions", "allows")


def as_document(role: RoleDefinition) -> dict[str, Any]:
    """Return the definition with words for numbers, in a fixed order."""
    return {
        "shortname": role.shortname,
        **{str(part): getattr(role, part) for part in FIELDS},
        "context_levels": [word(ContextLevel, level) for level in sorted(role.context_levels)],
        "permissions": {
            name: word(Permission, value) for name, value in sorted(role.permissions.items())
        },
        "allows": {str(allow): sorted(others) for allow, others in role.allows.items()},
    }


def from_document(document: Any) -> tuple[RoleDefinition, frozenset[Part]]:
    """Return a definition, and the parts it speaks of: what is left out stays as a site has it.

    Raise InvalidInput `role.definition` for anything that is no definition.
    """
    if not isinstance(document, Mapping) or not isinstance(document.get("shortname"), str):
        raise _wrong("it is no mapping with a shortname")
    unknown = [str(name) for name in document if name not in MEMBERS]
    if unknown:
        raise _wrong(f"{', '.join(unknown)} means nothing; there are {', '.join(MEMBERS)}")
    permissions = _mapping(document, "permissions")
    allows = _mapping(document, "allows")
    definition = RoleDefinition(
        document["shortname"],
        **{str(part): _text(document, part) for part in FIELDS},
        context_levels=frozenset(
            _number(ContextLevel, level) for level in _list(document.get("context_levels") or [])
        ),
        permissions={
            str(name): _number(Permission, value)
            for name, value in permissions.items()
            if value != "inherit"
        },
        allows={
            _allow(allow): frozenset(str(other) for other in _list(others))
            for allow, others in allows.items()
        },
    )
    check_definition(definition)
    return definition, _parts(document, definition)


def to_yaml(roles: Iterable[RoleDefinition]) -> str:
    """Return the documents of roles as YAML, one after the other."""
    documents = [as_document(role) for role in roles]
    return yaml.safe_dump_all(documents, sort_keys=False, allow_unicode=True, width=100)


def from_yaml(text: str) -> list[tuple[RoleDefinition, frozenset[Part]]]:
    """Return what each document of a YAML text says, as `from_document`; raise as that.

    A role that is in two documents is wrong too, and a key that is there twice.
    """
    try:
        documents = [plain(one) for one in read_documents(text)]
    except InvalidInput as error:
        raise _wrong(error.message.removesuffix(".")) from error
    if not documents:
        raise _wrong("there is none")
    found = [from_document(one) for one in documents]
    names = [definition.shortname for definition, _parts in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise _wrong(f"{twice} is defined twice")
    return found


def _parts(document: Mapping[str, Any], definition: RoleDefinition) -> frozenset[Part]:
    stated = {Part.ROLE, *(part for part in FIELDS if part in document)}
    if "context_levels" in document:
        stated.add(Part.CONTEXT_LEVEL)
    if "permissions" in document:
        stated.add(Part.PERMISSION)
    stated |= {Part(f"allow {allow}") for allow in definition.allows}
    return ALL_PARTS & stated


def _number(kind: type[IntEnum], value: object) -> int:
    for member in kind:
        if value in (member.name.lower(), member.value, str(int(member))) and not isinstance(
            value, bool
        ):
            return int(member)
    raise _wrong(f"{value!r} is none of {', '.join(member.name.lower() for member in kind)}")


def _allow(value: object) -> Allow:
    if value in set(Allow):
        return Allow(str(value))
    raise _wrong(f"{value!r} is none of {', '.join(Allow)}")


def _text(document: Mapping[str, Any], name: str) -> str:
    value = document.get(name)
    if value is not None and not isinstance(value, str):
        raise _wrong(f"{name} is no text")
    return value or ""


def _mapping(document: Mapping[str, Any], name: str) -> Mapping[Any, Any]:
    value = document.get(name) or {}
    if not isinstance(value, Mapping):
        raise _wrong(f"{name} is no mapping")
    return value


def _list(value: object) -> Iterable[Any]:
    if not isinstance(value, list | tuple):
        raise _wrong(f"{value!r} is no list")
    return value


def _wrong(what: str) -> InvalidInput:
    return InvalidInput(
        "role.definition",
        f"That is no definition of a role: {what}.",
        "See docs/reference/roles.md for what a definition holds.",
    )
