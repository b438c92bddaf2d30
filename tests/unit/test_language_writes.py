"""Files of wording that somebody else changes between the look and the write."""

from __future__ import annotations

from pathlib import Path

import pytest

from vmoodle.errors import Conflict
from vmoodle.moodle.copies.language_files import PackPlace, read_packs, write_packs


@pytest.mark.parametrize("theirs", [b"theirs", None])
def test_a_file_that_somebody_changes_after_it_was_read_is_not_written_over(
    tmp_path: Path, theirs: bytes | None
) -> None:
    place = PackPlace(tmp_path)
    write_packs(place, {"en": {"quiz.php": b"first", "forum.php": b"first"}}, seen={})
    seen = read_packs(place)
    quiz = tmp_path / "lang" / "en_local" / "quiz.php"
    if theirs is None:
        quiz.unlink()
    else:
        quiz.write_bytes(theirs)
    with pytest.raises(Conflict) as error:
        write_packs(place, {"en": {"forum.php": b"ours", "quiz.php": b"ours"}}, seen=seen)
    assert error.value.code == "language.changed"
    assert "en_local/quiz.php" in error.value.message
    assert (quiz.read_bytes() if quiz.exists() else None) == theirs
    assert (quiz.parent / "forum.php").read_bytes() == b"first"
    assert not list(quiz.parent.glob("*.vmoodle"))


def test_a_file_that_somebody_makes_meanwhile_stays(tmp_path: Path) -> None:
    place = PackPlace(tmp_path)
    write_packs(place, {"en": {"quiz.php": b"theirs"}}, seen={})
    with pytest.raises(Conflict):
        write_packs(place, {"en": {"quiz.php": b"ours"}}, seen={})
    assert read_packs(place) == {"en": {"quiz.php": b"theirs"}}
