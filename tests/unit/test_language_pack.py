"""Files of local language packs: read as strings, or refused whole."""

from __future__ import annotations

import pytest

from vmoodle.errors import Refused
from vmoodle.moodle.copies.language_pack import components_of, file_of, parse_pack, render_pack

START = "<?php\n/** Local language pack from https://x.test */\n"
GUARD = "defined('MOODLE_INTERNAL') || die();\n"


def test_what_moodle_writes_is_read() -> None:
    text = START + GUARD + "\n$string['a'] = 'It\\'s \\\\ {$a} \"x\"\nnext';\n$string['b'] = '';\n"
    text += "// $string['c'] = 'no';\n$string['mod/x:y'] = 'a' . \"\\0\" . 'b';\n"
    assert parse_pack(text.encode(), "x.php") == {
        "a": "It's \\ {$a} \"x\"\nnext", "b": "", "mod/x:y": "a\0b"
    }  # fmt: skip


def test_what_is_written_is_read_back_the_same() -> None:
    strings = {"a": "'", "b": "\\'", "c": "\\", "d": "?> <?php echo 1;", "e": "\0\U0001f600\r\n$x"}
    assert parse_pack(render_pack(strings), "x.php") == strings


@pytest.mark.parametrize(
    "code",
    [
        "$string['a'] = system('id');",
        "$string['a'] = `id`;",
        "$string['a'] = \"{$_GET['x']}\";",
        "$string['a'] = \"\\x41\";",
        "$string['a'] = 'b' ?> <?php echo 1;",
        "$string['a'] = 'b'; ?>",
        "$string['a'] = 'b'; // ?> <?= 1 ?>",
        "$string['a'] = 'b'",
        "$string['a'] = 'b' . FOO;",
        "$string['a'] .= 'b';",
        "$string[foo] = 'b';",
        "$string[] = 'b';",
        "$string['a']['b'] = 'c';",
        "$other['a'] = 'b';",
        "if (true) { $string['a'] = 'b'; }",
        "function f() {} $string['a'] = 'b';",
        "$string['a b'] = 'c';",
        "include 'x.php';",
        "$string['a'] = <<<EOT\nx\nEOT;",
        "$string['a'] = 'b'; __halt_compiler();",
        "#[Attr]\n$string['a'] = 'b';",
        "defined('MOODLE_INTERNAL') || system('id');",
    ],
)
def test_anything_else_is_refused(code: str) -> None:
    with pytest.raises(Refused) as error:
        parse_pack((START + code).encode(), "x.php")
    assert error.value.code == "language.code"


@pytest.mark.parametrize(
    "content", [b"", b"x<?php", b"\xef\xbb\xbf<?php ", b"<?= 1", b"<?php \xff"]
)
def test_what_is_no_php_file_of_utf8_is_refused(content: bytes) -> None:
    with pytest.raises(Refused):
        parse_pack(content, "x.php")


def test_components_and_files_are_named_as_moodle_does() -> None:
    assert [file_of(one) for one in ("core", "core_admin", "mod_quiz", "theme_boost")] == [
        "moodle.php", "admin.php", "quiz.php", "theme_boost.php"
    ]  # fmt: skip
    assert components_of("quiz.php") == ("core_quiz", "mod_quiz")
    assert components_of("tool_mobile.php") == ("tool_mobile",)
