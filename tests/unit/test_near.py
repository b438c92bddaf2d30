"""What a misspelt name may have meant is asked in one way."""

from __future__ import annotations

from vmoodle.near import near


def test_the_one_name_that_is_near_is_asked_about() -> None:
    assert near("nort", ["north", "templates"]) == "Did you mean north?"


def test_several_names_are_asked_about_the_nearest_first() -> None:
    said = near("north", ["north-1", "nort", "north-22", "south-22"])
    assert said == "Did you mean nort, north-1 or north-22?"


def test_where_no_name_is_near_it_says_what_else_helps() -> None:
    assert near("north", ["zzz"], "A list shows them.") == "A list shows them."
    assert near("north", []) == ""


def test_names_of_one_form_can_ask_for_more_likeness() -> None:
    capabilities = ["mod/quiz:view", "mod/page:view"]
    assert near("mod/quiz:veiw", capabilities, alike=0.8) == "Did you mean mod/quiz:view?"
    assert near("mod/other:delete", capabilities, "None.", alike=0.8) == "None."
