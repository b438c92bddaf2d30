"""Expressions for --on: what they mean, what is wrong with them, and saved ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.published_sites import make_site, set_state

from vmoodle.errors import Conflict, Failed, InvalidInput, NotFound, VMoodleError
from vmoodle.fleet.targets.expression import ValueQuery, atoms, read_expression
from vmoodle.installation import Installation

if TYPE_CHECKING:
    from vmoodle.fleet.targets.choice import Choice

ALL = ["north1", "north2", "south1", "south2"]


@pytest.fixture
def fleet(installation: Installation) -> Installation:
    """Four sites: the northern ones labelled, `south2` suspended."""
    from vmoodle.registry import sites

    for name in ALL:
        site = make_site(installation, name)
        if name.startswith("north"):
            sites.set_labels(site, {"region": "north", "note": "a b"})
    set_state(site, "suspended")
    return installation


class Asked:
    """Answers value queries, and remembers who was asked."""

    def __init__(self, **answers: bool | VMoodleError) -> None:
        self.answers = answers
        self.names: list[str] = []

    def __call__(self, _sql: str, ids: Sequence[int]) -> Mapping[int, bool | VMoodleError]:
        from vmoodle.registry.models import Site

        names = {one: Site.objects.get(id=one).shortname for one in ids}
        self.names += names.values()
        return {one: self.answers.get(name, False) for one, name in names.items()}


def choose(text: str, ask: Asked, states: set[str] | None = None) -> Choice:
    from vmoodle.fleet.targets.choice import choose_on

    return choose_on(text, ask, states)


def meant(text: str, ask: Asked | None = None, states: set[str] | None = None) -> list[str]:
    return [site.shortname for site in choose(text, ask or Asked(), states).sites]


@pytest.mark.usefixtures("fleet")
@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("north1", ["north1"]),
        ("south1,north1 , north1", ["north1", "south1"]),
        ("*", ALL),
        ("all", ALL),
        ("north[!1]", ["north2"]),
        (r"/^(north|south)1$/", ["north1", "south1"]),
        ("/NORTH/i", ["north1", "north2"]),
        (r"/http:\/\/north2/", ["north2"]),
        ("~orth", ["north1", "north2"]),
        ("!~orth", ["south1", "south2"]),
        ("~'TH1'", ["north1", "south1"]),
        ("label:region=north", ["north1", "north2"]),
        ("label:region", ["north1", "north2"]),
        ("!label:region", ["south1", "south2"]),
        ("label:note='a b'", ["north1", "north2"]),
        ("state:suspended", ["south2"]),
        ("codebase:main & server:m*", ALL),
        ("version:1", ALL),
        ("* !north1 !south1", ["north2", "south2"]),
        ("north* & *1, south2", ["north1", "south2"]),
        ("(north*, south*) & *2", ["north2", "south2"]),
        ("!(north1, south*)", ["north2"]),
        ("!!north1", ["north1"]),
    ],
)
def test_an_expression_means_these_sites(text: str, names: list[str]) -> None:
    assert meant(text) == names


@pytest.mark.usefixtures("fleet")
def test_what_is_wrong_is_said_with_its_place() -> None:
    for text, code, place in (
        ("", "target.nothing", ""),
        ("north1 &", "target.expression", "at the end"),
        ("north1, , south1", "target.expression", "character 9"),
        ("(north1", "target.expression", "character 1"),
        ("north1)", "target.expression", "character 7"),
        ("/[/", "target.expression", "character 2"),
        ("/abc", "target.expression", "character 1"),
        ("colour:red", "target.expression", "character 1"),
        ("label:='x'", "target.expression", "character 7"),
        ("~'abc", "target.expression", "character 2"),
        ("@No.Group", "target.expression", "character 1"),
        ("north1 south1", "target.expression", "character 8"),
        ("sql:", "target.expression", "at the end"),
        ("!" * 60 + "a", "target.expression", "nested"),
        ("!state:enabeld", "target.word", "character 2"),
        ("!codebase:mian", "target.word", "character 2"),
    ):
        with pytest.raises(InvalidInput) as raised:
            meant(text)
        assert raised.value.code == code, text
        assert place in raised.value.message, (text, raised.value.message)
        assert raised.value.hint
    for text, code in (
        ("nobody", "site.unknown"), ("!nobody", "site.unknown"), ("x*", "target.none"),
        ("@nobody", "target.group.unknown"), ("version:9*", "target.none"),
    ):  # fmt: skip
        with pytest.raises(NotFound) as unknown:
            meant(text)
        assert unknown.value.code == code, text


@given(st.text(alphabet="ab1*[]!&,()/'\"~:=@ \\", max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        read_expression(text)
    except InvalidInput as error:
        assert error.hint


def test_a_query_is_quoted_or_takes_all_that_follows() -> None:
    assert atoms(read_expression("a, sql:SELECT 1, (2) & 3")) == [
        *atoms(read_expression("a")), ValueQuery("SELECT 1, (2) & 3", 3)
    ]  # fmt: skip
    quoted = atoms(read_expression('sql:"SELECT \'x\', ""y""" & a'))
    assert quoted[0] == ValueQuery("SELECT 'x', \"y\"", 0)


@pytest.mark.usefixtures("fleet")
def test_queries_are_asked_only_of_those_that_are_still_in_question() -> None:
    ask = Asked(north1=True, south1=True)
    assert meant("sql:'SELECT 1' & north*", ask) == ["north1"]
    assert sorted(ask.names) == ["north1", "north2"]
    assert meant("north2, sql:SELECT 1", Asked(north1=True)) == ["north1", "north2"]
    assert meant("!sql:SELECT 1", Asked(north1=True)) == ["north2", "south1", "south2"]


@pytest.mark.usefixtures("fleet")
def test_a_site_that_cannot_be_asked_is_never_meant() -> None:
    ask = Asked(north1=True, south1=Failed("engine.connect", "It is down."))
    choice = choose("!sql:SELECT 1", ask)
    assert [site.shortname for site in choice.sites] == ["north2", "south2"]
    assert list(choice.undecided) == ["south1"]
    wrong = InvalidInput("engine.sql", "There is no such column.")
    with pytest.raises(InvalidInput) as raised:
        meant("sql:SELECT x", Asked(**dict.fromkeys(ALL, wrong)))
    assert raised.value.code == "engine.sql"


@pytest.mark.usefixtures("fleet")
def test_sites_in_another_state_are_meant_only_by_name() -> None:
    assert meant("*", states={"enabled"}) == ["north1", "north2", "south1"]
    assert meant("south2, north1", states={"enabled"}) == ["north1", "south2"]


def test_the_first_cell_of_an_answer_decides(installation: Installation) -> None:
    from vmoodle.fleet.targets.value_query import is_true

    assert all(is_true(value) for value in (1, 2.5, True, "t", "YES", b"1", b"\x01"))
    assert not any(is_true(value) for value in (None, 0, False, "", "0", "f", b"\x00", b"no"))
    with pytest.raises(Failed) as raised:
        is_true("banana")
    assert raised.value.code == "target.value"


@pytest.mark.usefixtures("fleet")
def test_saved_groups_are_used_in_others_and_in_no_circle() -> None:
    from vmoodle.fleet.targets import choose as targets

    targets.save_group("north", "label:region=north")
    targets.save_group("rest", "!@north")
    assert meant("@rest & *1, @north & *2") == ["north2", "south1"]
    for name, text, code in (
        ("north", "@rest", "target.expression"),
        ("self", "@self", "target.expression"),
        ("bad", "((", "target.expression"),
        ("No", "*", "target.group.name"),
    ):
        with pytest.raises(InvalidInput) as raised:
            targets.save_group(name, text)
        assert raised.value.code == code
    with pytest.raises(Conflict):
        targets.delete_group("north")
    targets.delete_group("rest")
    targets.delete_group("north")
