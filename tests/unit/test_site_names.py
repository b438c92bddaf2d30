"""Names of sites: what Moodle would take for a tag is refused."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest

from vmoodle.errors import InvalidInput


@pytest.mark.parametrize("name", ["A <b> site", "</i>", "x<!-- y", "a <3 b", "R<&>D", "ends <"])
def test_a_name_of_which_moodle_would_take_a_tag_is_refused(name: str) -> None:
    from vmoodle.lifecycle import names

    with pytest.raises(InvalidInput) as refused:
        names.full_name(name)
    assert refused.value.code == "site.name.tag"


@pytest.mark.parametrize("name", ["1 < 2", "a > b", '<span lang="en" class="multilang">A</span>'])
def test_a_name_that_moodle_leaves_as_it_is_is_taken(name: str) -> None:
    from vmoodle.lifecycle import names

    assert names.full_name(name) == name


def test_the_rule_for_tags_in_a_name_is_that_of_php() -> None:
    from vmoodle.lifecycle import names

    if not shutil.which("php"):
        pytest.skip("not installed: php")
    after = [*map(chr, range(32, 127)), "\u00a0", "é", ""]
    tried = [f"a <{character}3 b" if character else "a <" for character in after]
    strip = (
        "foreach (json_decode(stream_get_contents(STDIN)) as $text)"
        " echo (int) (strip_tags($text) !== $text);"
    )
    said = subprocess.run(
        ["php", "-n", "-r", strip], input=json.dumps(tried), capture_output=True, text=True,
        check=True,
    ).stdout  # fmt: skip
    refused = ""
    for name in tried:
        try:
            names.full_name(name)
        except InvalidInput as error:
            assert error.code == "site.name.tag"
            refused += "1"
        else:
            refused += "0"
    assert refused == said
