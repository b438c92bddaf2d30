"""Commands: their parameters as options and schema, and where they come from."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field
from tests.fleet import Fleet

from vmoodle.errors import InvalidInput, NotFound, VMoodleError
from vmoodle.fleet import command_sets
from vmoodle.fleet.command import Command, Effect, facts, refuse_malformed
from vmoodle.fleet.copy_source import FromSite, PerhapsFromSite, sources_of
from vmoodle.fleet.options import read_options
from vmoodle.fleet.parameters import (
    Constant,
    Kind,
    LongText,
    Parameters,
    Search,
    SecretParameter,
    given,
    masked,
    parameters,
    restored,
    revealed,
    schema,
)
from vmoodle.fleet.result import Result, Scalar
from vmoodle.fleet.target_site import TargetSite
from vmoodle.secret import Secret


class Everything(Parameters):
    """A parameter of every kind of the original."""

    loud: bool = Field(default=False, description="Aloud.")
    mode: Literal["soft", "hard"] = "soft"
    langs: tuple[Literal["de", "fr"], ...] = ()
    plugin: Annotated[str, Search(lambda site: [site.shortname])] = "mod_quiz"
    name: str
    words: Annotated[str, LongText()] = ""
    stamp: Annotated[str, Constant(lambda: "now")]
    key: SecretParameter = Secret("")
    count: int = Field(default=1, ge=1)
    only: list[str] = Field(default_factory=list)


class Greet(Command[Everything]):
    name = "greet"
    title = "Greet the site."
    effect = Effect.READS
    model = Everything

    def run(self, site: TargetSite) -> Result:
        return Scalar(f"hello {site.shortname}")


def problem(*words: str) -> VMoodleError:
    with pytest.raises(InvalidInput) as raised:
        given(Everything, read_options(Everything, words, Secret))
    assert raised.value.hint
    return raised.value


def test_every_parameter_has_the_kind_that_its_annotation_says() -> None:
    assert {one.name: one.kind for one in parameters(Everything)} == {
        "loud": Kind.BOOLEAN, "mode": Kind.CHOICE, "langs": Kind.CHOICES, "plugin": Kind.SEARCH,
        "name": Kind.TEXT, "words": Kind.LONG_TEXT, "stamp": Kind.CONSTANT, "key": Kind.SECRET,
        "count": Kind.NUMBER, "only": Kind.LIST,
    }  # fmt: skip


def test_options_become_checked_values(tmp_path: Path) -> None:
    long = tmp_path / "words"
    long.write_text("two\nlines\n")
    words = [
        "--loud", "--mode=hard", "--langs", "de", "--langs", "fr", "--name", "--", "--count", "3",
        "--words-file", str(long), "--key-file", "file", "--only", "a", "--only=b",
    ]  # fmt: skip
    values = given(Everything, read_options(Everything, words, lambda _file: Secret("s3cret")))
    assert values.loud, values.mode == "hard"
    assert (values.langs, values.only, values.count) == (("de", "fr"), ["a", "b"], 3)
    assert (values.name, values.words, values.stamp) == ("--", "two\nlines\n", "now")
    assert not given(Everything, read_options(Everything, ["--no-loud", "--name=x"], Secret)).loud
    assert "s3cret" not in repr(values)


def test_what_is_wrong_with_options_is_said() -> None:
    assert problem("--nmae", "x").code == "command.option"
    assert problem("--name").code == "command.option"
    assert problem("--loud=yes", "--name", "x").code == "command.option"
    assert problem("--name", "x", "--name", "y").code == "command.option"
    assert problem("--stamp", "then", "--name", "x").code == "command.option"
    for words in (
        (),
        ("--name=x", "--mode=medium"),
        ("--name=x", "--count=0"),
        ("--name=x", "--count=a"),
    ):
        assert problem(*words).code == "command.parameter", words
    for values in ({"name": "x", "stamp": "then"}, {"name": "x", "other": 1}):
        with pytest.raises(InvalidInput):
            given(Everything, values)


def test_a_source_is_named_by_from_and_is_never_a_target() -> None:
    values = given(FromSite, read_options(FromSite, ["--from", "school1"], Secret))
    assert list(sources_of(values)) == ["school1"]
    assert not sources_of(given(PerhapsFromSite, {}))
    with pytest.raises(InvalidInput):
        read_options(FromSite, ["--source", "school1"], Secret)


def test_the_schema_names_what_is_to_be_given_and_how_to_ask_for_it() -> None:
    document = schema(Everything)
    assert "stamp" not in document["properties"]
    assert document["required"] == ["name"]
    kinds = {name: member["x-kind"] for name, member in document["properties"].items()}
    assert kinds["words"] == "long text"
    assert kinds["plugin"] == "search"
    assert document["properties"]["mode"]["enum"] == ["soft", "hard"]
    assert document["properties"]["key"]["writeOnly"]
    assert facts(Greet)["parameters"][0]["option"] == "--loud"


def test_secrets_are_masked_where_parameters_are_kept() -> None:
    values = given(Everything, {"name": "x", "key": "s3cret"})
    assert masked(values)["key"] == "***"
    assert restored(Everything, revealed(values)) == values


def test_a_broken_set_of_another_package_breaks_no_other(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    good = (
        "from vmoodle.fleet.command import Command, Effect\n"
        "from vmoodle.fleet.result import Scalar\n"
        "class Hello(Command):\n"
        "    name, title, effect = 'acme.hello', 'Say hello.', Effect.READS\n"
        "    def run(self, site): return Scalar(site.shortname)\n"
    )
    for name, text in {
        "acme_good": good,
        "acme_raises": "1/0",
        "acme_exits": "raise SystemExit(3)",
        "acme_syntax": "def",
        "acme_empty": "",
        "acme_nameless": good.replace("'acme.hello'", "'No Name'"),
        "acme_writes": good.replace("READS", "WRITES").replace("hello'", "write'"),
        "acme_twice": good,
    }.items():
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    modules = [path.stem for path in sorted(tmp_path.glob("*.py"))]
    entries = [EntryPoint(name, name, command_sets.GROUP) for name in [*modules, "acme_absent"]]
    monkeypatch.setattr(command_sets, "entry_points", lambda **_group: entries)
    loaded = command_sets.load()
    faults = {one.name: one.fault for one in loaded.sets if one.package != command_sets.OWN}
    assert [name for name, fault in faults.items() if not fault] == ["acme_good"]
    assert "ZeroDivisionError" in faults["acme_raises"]
    assert "dry_run" in faults["acme_writes"]
    assert "there already" in faults["acme_twice"]
    assert loaded.find("acme.hello").title == "Say hello."
    with pytest.raises(NotFound) as raised:
        loaded.find("acme.helo")
    assert "acme.hello" in raised.value.hint
    for name in modules:
        sys.modules.pop(name, None)


def test_a_command_that_keeps_not_to_the_contract_is_refused() -> None:
    class Nothing(Command[Parameters]):
        name, title, effect = "nothing", "Do nothing.", Effect.READS

    with pytest.raises(InvalidInput):
        refuse_malformed(Nothing)
    refuse_malformed(Greet)


def test_the_program_lists_the_commands(home: Path) -> None:
    fleet = Fleet(home)
    assert all(one["ok"] for one in fleet.json("command", "list"))
    assert fleet.problem("command", "show", "nonsense")["code"] == "command.unknown"


def test_every_set_of_vmoodles_own_loads_before_an_installation_is_opened() -> None:
    asked = "from vmoodle.fleet.command_sets import load; print([s.fault for s in load().sets])"
    ended = subprocess.run(
        [sys.executable, "-c", asked], capture_output=True, text=True, check=True
    )
    assert set(ast.literal_eval(ended.stdout)) == {""}
