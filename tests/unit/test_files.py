"""Files that a reader finds whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from vmoodle.files import put_in_place, replacing, write_atomically, write_beside


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file.txt"


def test_a_file_is_replaced_whole_with_its_mode_and_leaves_nothing_beside(path: Path) -> None:
    write_atomically(path, "old", mode=0o600)
    write_atomically(path, "new", mode=0o640)

    assert path.read_text(encoding="utf-8") == "new"
    assert path.stat().st_mode & 0o777 == 0o640
    assert list(path.parent.iterdir()) == [path]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_beside(path: Path) -> None:
    path.mkdir()

    with pytest.raises(OSError):
        write_atomically(path, "new")

    assert list(path.parent.iterdir()) == [path]


def test_a_block_that_fails_leaves_the_old_file_and_nothing_beside(path: Path) -> None:
    write_atomically(path, "old")

    with pytest.raises(ValueError, match="half-way"), replacing(path) as file:
        file.write(b"ne")
        raise ValueError("half-way")

    assert path.read_text() == "old"
    assert list(path.parent.iterdir()) == [path]


def test_files_written_beside_their_places_take_them_or_go(path: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "blocked"
    blocked.mkdir()
    written = {place: write_beside(place, b"new", mode=0o640) for place in (path, blocked)}
    assert not path.exists()

    with pytest.raises(OSError):
        put_in_place(written)

    assert sorted(tmp_path.iterdir()) == [blocked, path]


def test_a_name_may_be_as_long_as_the_disk_allows(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 251 + ".txt")

    write_atomically(path, "whole")

    assert path.read_text() == "whole"
