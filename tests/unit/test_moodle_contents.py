"""Contents that a database names, and whether the file pool has them."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.snapshots import add_file, make_filedir

from vmoodle.errors import VMoodleError
from vmoodle.moodle.database import contents


def test_the_pool_tells_its_contents_by_hash_and_nothing_else(tmp_path: Path) -> None:
    pool = make_filedir(tmp_path / "filedir", 20)
    names = {path.name for path in pool.rglob("*") if path.is_file()} - {"warning.txt"}
    (pool / next(iter(names))[:2] / "odd").write_text("no content")
    assert contents.stored(pool) == names
    assert contents.holds_any(pool)


@pytest.mark.parametrize("made", [False, True])
def test_a_pool_that_is_missing_and_one_that_only_has_its_warning_hold_nothing(
    tmp_path: Path, made: bool
) -> None:
    pool = tmp_path / "filedir"
    if made:
        make_filedir(pool, 0)
        (pool / "ab" / "cd").mkdir(parents=True)
    assert contents.stored(pool) == set()
    assert not contents.holds_any(pool)


def test_what_cannot_be_listed_is_named_and_not_taken_for_empty(tmp_path: Path) -> None:
    pool = tmp_path / "filedir"
    pool.write_text("no directory")
    with pytest.raises(VMoodleError) as caught:
        contents.stored(pool)
    assert caught.value.code == "filedir.unreadable"
    assert str(pool) in caught.value.message


def test_contents_are_copied_by_hash_and_what_the_source_has_not_is_left_out(
    tmp_path: Path,
) -> None:
    from vmoodle.moodle.files.filedir import copy_contents

    kept = add_file(tmp_path / "old", b"kept")
    add_file(tmp_path / "old", b"left")
    done = copy_contents(tmp_path / "old", tmp_path / "new", [kept.name, "0" * 40])
    assert done.files == 1
    assert contents.stored(tmp_path / "new") == {kept.name}
    (copied,) = (path for path in (tmp_path / "new").rglob("*") if path.is_file())
    assert copied.read_bytes() == b"kept"
