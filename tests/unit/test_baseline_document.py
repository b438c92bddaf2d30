"""What a baseline's document may say, and what each wrong one is told."""

from __future__ import annotations

import pytest

from vmoodle.errors import VMoodleError
from vmoodle.fleet.baseline.document import read_baseline
from vmoodle.moodle.config.names import parse_setting
from vmoodle.moodle.plugins.rules import PluginState
from vmoodle.moodle.roles.plan import Part

HEAD = "version: 1\nname: x\n"


def test_a_setting_is_the_text_as_it_is_written() -> None:
    written = {
        "a": "1", "b": "1.10", "c": "007", "d": "0x1F", "e": "2026-01-01", "f": "12:30",
        "g": "1_000", "h": "Two words", "i": "-1",
    }  # fmt: skip
    lines = "".join(f"  {name}: {value}\n" for name, value in written.items())
    lines += "  q: 'yes'\n  r: \"null\"\n  s: ''\n  t: null\n  u: ~\n  v:\n  w: |\n    <b>\n    x\n"
    baseline = read_baseline(f"{HEAD}settings:\n{lines}")
    settings = {str(name): value for name, value in baseline.wanted.settings.items()}
    assert settings == written | {
        "q": "yes", "r": "null", "s": "", "t": None, "u": None, "v": None, "w": "<b>\nx\n"
    }  # fmt: skip


def test_exceptions_hold_one_after_the_other_and_the_last_wins() -> None:
    baseline = read_baseline(
        HEAD + "settings: {a: 1, b: 1, c/d: 1}\n"
        "plugins: {mod_chat: disabled, filter_tex: enabled}\n"
        "roles:\n"
        "  - {shortname: r, name: R, permissions: {x: allow, y: allow}, allows: {view: [s]}}\n"
        "exceptions:\n"
        "  - label: tier=gold\n"
        "    settings: {a: 2}\n"
        "    roles: [{shortname: r, permissions: {x: inherit, z: prevent}}]\n"
        "  - on: 'north*, south'\n"
        "    settings: {a: 3, e: 1}\n"
        "    leave: {settings: ['c/*'], plugins: [mod_*], roles: [q]}\n"
    )
    assert [one.expression for one in baseline.exceptions] == ["label:tier=gold", "north*, south"]
    plain, both = baseline.of([]), baseline.of([0, 1])
    assert len(plain.settings) == 3
    assert {str(k): v for k, v in both.settings.items()} == {"a": "3", "b": "1", "e": "1"}
    assert both.plugins == {"filter_tex": PluginState.ENABLED}
    (role,) = both.roles
    assert role.definition.permissions == {"y": 1, "z": -1}
    assert role.definition.name == "R"
    assert role.inherit == {"x"}
    assert Part.DESCRIPTION not in role.parts
    assert plain.settings[parse_setting("a")] == "1"


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("", "baseline.yaml", "empty"),
        ("- a", "baseline.value", "Line 1"),
        ("name: x", "baseline.version", "Line 1"),
        ("version: 2", "baseline.version", "Line 1"),
        ("version: 1\nname: A B", "baseline.value", "Line 2"),
        (HEAD, "baseline.value", "says nothing"),
        (HEAD + "setings: {}", "baseline.key", "Line 3"),
        (HEAD + "settings:\n  a: yes", "baseline.value", "Line 4: yes"),
        (HEAD + "settings:\n  a: Off", "baseline.value", "Line 4: Off"),
        (HEAD + "settings:\n  a: [1]", "baseline.value", "Line 4"),
        (HEAD + "settings: [a]", "baseline.value", "Line 3"),
        (HEAD + "settings:\n  a: 1\n  a: 2", "baseline.yaml", "Line 5"),
        (HEAD + "settings:\n  a: 1\n  core/a: 2", "baseline.value", "Line 5"),
        (HEAD + "settings:\n  smtppass: x", "baseline.secret", "Line 4"),
        (HEAD + "settings:\n  auth: ldap", "baseline.value", "Line 4"),
        (HEAD + "settings:\n  version: 1", "setting.reserved", "Line 4"),
        (HEAD + "settings:\n  siteadmins:", "setting.reserved", "Line 4"),
        (HEAD + "settings:\n  'a b': 1", "setting.name", "Line 4"),
        (HEAD + "plugins: {mod_chat: on}", "baseline.value", "enabled"),
        (HEAD + "plugins: {local_x: enabled}", "baseline.value", "Line 3"),
        (HEAD + "plugins: {chat: enabled}", "baseline.value", "Line 3"),
        (HEAD + "plugins: {block_html: available}", "baseline.value", "Line 3"),
        (HEAD + "roles: {a: b}", "baseline.value", "Line 3"),
        (HEAD + "roles: [a]", "baseline.value", "Line 3"),
        (HEAD + "roles: [{name: a}]", "role.definition", "Line 3"),
        (HEAD + "roles:\n  - shortname: a\n    perms: {}", "baseline.key", "Line 5"),
        (
            HEAD + "roles:\n  - shortname: a\n    permissions:\n      b: allw",
            "baseline.value", "Line 6",
        ),
        (HEAD + "roles: [{shortname: a, archetype: b}]", "role.definition", "Line 3"),
        (HEAD + "roles: [{shortname: a, beyond: b}]", "baseline.value", "Line 3"),
        (HEAD + "roles: [{shortname: a}, {shortname: a}]", "baseline.value", "Line 3"),
        (HEAD + "exceptions: [{settings: {a: 1}}]", "baseline.value", "which sites"),
        (HEAD + "exceptions: [{label: a=b, on: x, settings: {a: 1}}]", "baseline.value", "which"),
        (HEAD + "exceptions: [{label: a b, settings: {a: 1}}]", "target.expression", "Line 3"),
        (HEAD + "exceptions: [{on: 'a &', settings: {a: 1}}]", "target.expression", "Line 3"),
        (HEAD + "exceptions: [{on: a}]", "baseline.value", "says nothing"),
        (HEAD + "exceptions: [{on: a, leave: {x: [y]}}]", "baseline.key", "Line 3"),
        ("a: &x [1]\nb: *x", "baseline.yaml", "Line 2"),
        ("a: !!python/object:os.system x", "baseline.yaml", "Line 1"),
        ("? [a]\n: b", "baseline.yaml", "Line 1"),
        ("{" * 500, "baseline.yaml", "Line 1"),
        ("a: b: c", "baseline.yaml", "Line 1"),
        ("a: 1\n---\nb: 1", "baseline.yaml", "Line 2"),
        ("a: \0", "baseline.yaml", ""),
        ("#" * 5_000_001, "baseline.yaml", "too large"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_line(text: str, code: str, said: str) -> None:
    with pytest.raises(VMoodleError) as error:
        read_baseline(text)
    assert error.value.code == code
    assert said in f"{error.value.message} {error.value.hint}"
    assert error.value.hint
