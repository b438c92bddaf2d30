"""A role's definition as a document: words for numbers, and what it leaves out stays."""

from __future__ import annotations

from typing import Any

import pytest

from vmoodle.errors import InvalidInput
from vmoodle.moodle.roles.definitions import Allow, RoleDefinition
from vmoodle.moodle.roles.documents import as_document, from_document, from_yaml, to_yaml
from vmoodle.moodle.roles.plan import ALL_PARTS, Part, RolePlan

ROLE = RoleDefinition(
    "tutor", "Tutor", "Helps", "teacher", frozenset({50, 70}),
    {"mod/quiz:view": 1, "mod/quiz:attempt": -1, "moodle/course:delete": -1000},
    {Allow.ASSIGN: frozenset({"student"}), Allow.OVERRIDE: frozenset(),
     Allow.SWITCH: frozenset({"guest"}), Allow.VIEW: frozenset({"student"})},
)  # fmt: skip


def test_a_definition_reads_in_words_and_comes_back_the_same() -> None:
    document = as_document(ROLE)
    assert document["context_levels"] == ["course", "module"]
    assert document["permissions"]["moodle/course:delete"] == "prohibit"
    role, parts = from_document(document)
    assert as_document(role) == document
    assert parts == ALL_PARTS


def test_a_document_speaks_only_of_what_it_holds() -> None:
    role, parts = from_document({"shortname": "tutor", "permissions": {"mod/quiz:view": "allow"}})
    assert role.permissions == {"mod/quiz:view": 1}
    assert parts == {Part.ROLE, Part.PERMISSION}


def test_several_roles_are_one_file_and_come_back_the_same() -> None:
    other = RoleDefinition("helfer", "Hilfe: «ja»", "No\n---\nEnd", "", frozenset({10}))
    found = from_yaml(to_yaml([ROLE, other]))
    assert [as_document(role) for role, _parts in found] == [as_document(ROLE), as_document(other)]


@pytest.mark.parametrize(
    "text",
    ["", "---\n", "a: [", "- x", "{shortname: x}\n---\n{shortname: x}", "!!python/name:os.x",
     "\x00"],
)  # fmt: skip
def test_what_is_no_file_of_roles_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput) as error:
        from_yaml(text)
    assert error.value.code == "role.definition"


def test_a_key_that_is_there_twice_is_refused_with_its_line() -> None:
    text = "shortname: tutor\npermissions:\n  mod/quiz:view: allow\n  mod/quiz:view: prohibit\n"
    with pytest.raises(InvalidInput) as error:
        from_yaml(text)
    assert error.value.code == "role.definition"
    assert "Line 4" in error.value.message
    with pytest.raises(InvalidInput, match="Line 2"):
        from_yaml("shortname: tutor\nshortname: other\n")


def test_numbers_and_words_of_a_file_are_what_they_are_in_a_definition() -> None:
    ((role, _parts),) = from_yaml(
        "shortname: tutor\nname: 1.10\ncontext_levels: [50, module]\n"
        "permissions: {mod/quiz:view: 1, mod/quiz:attempt: -1}\narchetype: null\n"
    )
    assert (role.name, role.archetype) == ("1.10", "")
    assert role.context_levels == {50, 70}
    assert role.permissions == {"mod/quiz:view": 1, "mod/quiz:attempt": -1}


def test_inherit_is_to_have_no_permission() -> None:
    role, _ = from_document({"shortname": "tutor", "permissions": {"mod/quiz:view": "inherit"}})
    assert role.permissions == {}


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {},
        {"shortname": 5},
        {"shortname": ""},
        {"shortname": "x" * 101},
        {"shortname": "x", "colour": "red"},
        {"shortname": "x", "name": ["a"]},
        {"shortname": "x", "archetype": "king"},
        {"shortname": "x", "context_levels": ["planet"]},
        {"shortname": "x", "context_levels": "course"},
        {"shortname": "x", "permissions": ["mod/quiz:view"]},
        {"shortname": "x", "permissions": {"mod/quiz:view": "yes"}},
        {"shortname": "x", "permissions": {"mod/quiz:view": True}},
        {"shortname": "x", "allows": {"kiss": ["student"]}},
        {"shortname": "x", "allows": {"assign": "student"}},
    ],
)
def test_what_is_no_definition_is_refused(document: Any) -> None:
    with pytest.raises(InvalidInput) as error:
        from_document(document)
    assert error.value.code == "role.definition"


@pytest.mark.parametrize(
    "data", [None, {}, {"role": "x", "changes": [["x"]]}, {"role": "x", "changes": [[
        "permission", "mod/quiz:view", {}, 1]]}, {"role": "x", "changes": [["love", "a", 1, 1]]}]
)  # fmt: skip
def test_what_is_no_plan_is_refused(data: Any) -> None:
    with pytest.raises(InvalidInput) as error:
        RolePlan.from_data(data)
    assert error.value.code == "role.plan"
