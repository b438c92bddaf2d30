"""An archive that is damaged, odd or somebody else's is refused before anything is made."""

from __future__ import annotations

import dataclasses
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from vmoodle.errors import VMoodleError
from vmoodle.installation import Installation
from vmoodle.operations.scratch import discard, prepared, scratch, sweep
from vmoodle.secret import Secret
from vmoodle.settings_file import load_settings
from vmoodle.store import archive
from vmoodle.store.keys import new_key
from vmoodle.store.manifest import EngineFacts, Manifest, MoodleFacts, Part, SiteFacts
from vmoodle.store.store import Store, open_store

MOODLE = MoodleFacts("2024100700.00", "4.5 (Build: 20241007)", "ab" * 20)
SITE = SiteFacts("base", "base", "https://site.vmoodle.invalid")
POSTGRESQL = EngineFacts("postgresql", "15.1")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"), create=True)


def archived(store: Store, path: Path, *, key: Secret | None = None, **changes: Any) -> Path:
    """Write the archive of a template that differs from a good one by these changes."""
    dump = path.with_suffix(".dump")
    dump.write_bytes(os.urandom(20_000))
    part = Part.of("database", store.put_file(dump))
    manifest = Manifest(
        "base-1", "template", datetime.now(UTC), "somebody", "", SITE, MOODLE, POSTGRESQL, "mdl_",
        (part,), {"template": "base", "people": "no"},
    )  # fmt: skip
    archive.export(dataclasses.replace(manifest, **changes), store, path, key=key)
    return path


def refusal(installation: Installation, path: Path, **words: str) -> str:
    """Return the code with which an import is refused, after seeing that it left nothing."""
    from vmoodle.lifecycle.template import archive_import as template_import
    from vmoodle.registry import operations, templates

    with pytest.raises(VMoodleError) as caught:
        template_import.submit(installation, path, **words)
    assert templates.every() == []
    assert operations.recent() == []
    assert list(installation.home.run.glob("operation-*")) == []
    assert not installation.dataroot_base.exists() or not any(installation.dataroot_base.iterdir())
    assert caught.value.hint
    return caught.value.code


def known_server(engine: str) -> None:
    from vmoodle.registry.models import DatabaseServer

    DatabaseServer.objects.create(name=engine, engine=engine, flavour=engine)


def test_a_damaged_archive_is_refused(
    installation: Installation, store: Store, tmp_path: Path
) -> None:
    known_server("postgresql")
    whole = archived(store, tmp_path / "whole").read_bytes()
    bad = tmp_path / "bad"
    # Every place counts, also between the files of the archive.
    for place in range(5, len(whole), len(whole) // 12):
        altered = bytearray(whole)
        altered[place] ^= 1
        bad.write_bytes(altered)
        assert refusal(installation, bad) in {"store.archive.damaged", "store.archive.truncated"}
    for content, code in (
        (whole[: len(whole) // 2], "store.archive.truncated"),
        (b"no archive at all" * 600, "store.archive.damaged"),
        (b"", "store.archive.truncated"),
    ):
        bad.write_bytes(content)
        assert refusal(installation, bad) == code
    assert refusal(installation, tmp_path / "absent") == "store.archive.unreadable"
    assert refusal(installation, tmp_path) == "store.archive.unreadable"


def test_an_archive_that_says_odd_things_is_refused(
    installation: Installation, store: Store, tmp_path: Path
) -> None:
    known_server("postgresql")
    for number, changes in enumerate((
        {"prefix": "x-9;"},
        {"prefix": ""},
        {"moodle": dataclasses.replace(MOODLE, component_hash="'")},
        {"moodle": dataclasses.replace(MOODLE, release="4.5\x1b[2J")},
        {"moodle": dataclasses.replace(MOODLE, version="new")},
        {"site": dataclasses.replace(SITE, wwwroot="https://somebody.example.org")},
        {"site": dataclasses.replace(SITE, wwwroot="no address")},
        {"parts": ()},
    )):  # fmt: skip
        path = archived(store, tmp_path / str(number), **changes)
        assert refusal(installation, path) == "template.archive.odd", changes
    snapshot = archived(store, tmp_path / "snapshot", kind="snapshot")
    assert refusal(installation, snapshot) == "template.archive.kind"
    nameless = archived(store, tmp_path / "nameless", extra={})
    assert refusal(installation, nameless) == "template.name.invalid"
    assert refusal(installation, nameless, name="../up") == "template.name.invalid"


def test_an_archive_is_refused_where_its_engine_is_not(
    installation: Installation, store: Store, tmp_path: Path
) -> None:
    path = archived(store, tmp_path / "base")
    assert refusal(installation, path) == "server.engine.none"
    known_server("mariadb")
    assert refusal(installation, path, server="mariadb") == "source.engine"
    assert refusal(installation, path, server="nowhere") == "server.unknown"


def test_an_encrypted_archive_takes_its_key_and_a_clear_one_none(
    installation: Installation, store: Store, tmp_path: Path
) -> None:
    from vmoodle.lifecycle.snapshot.foreign import archive_key

    key = new_key()
    sealed, clear = archived(store, tmp_path / "sealed", key=key), archived(store, tmp_path / "c")
    assert refusal(installation, sealed) == "store.key.missing"
    given = {"VMOODLE_SNAPSHOTS__KEY": key.reveal()}
    installation.settings = load_settings(installation.home.settings_file, given)
    assert archive_key(installation, sealed) == key
    assert archive_key(installation, clear) is None


def test_an_import_takes_the_archive_in_and_refuses_a_name_that_is_taken(
    installation: Installation, store: Store, tmp_path: Path
) -> None:
    from vmoodle.errors import Conflict
    from vmoodle.lifecycle.template import archive_import as template_import
    from vmoodle.registry import operations, templates

    known_server("postgresql")
    path = archived(store, tmp_path / "base")
    operation = template_import.submit(installation, path)
    assert templates.find("base").source == templates.IMPORTED
    (kept,) = installation.home.run.glob("operation-*")
    sweep(installation.home.run, lambda name: bool(operations.under_way_with(scratch=name)))
    assert kept.is_dir()
    assert operation.parameters["scratch"] == kept.name
    with pytest.raises(Conflict) as caught:
        template_import.submit(installation, path)
    assert caught.value.code == "template.taken"
    assert list(installation.home.run.glob("operation-*")) == [kept]


def test_a_directory_in_use_is_not_swept_and_one_that_was_left_is(tmp_path: Path) -> None:
    with scratch(tmp_path) as used:
        left = tmp_path / "operation-left"
        left.mkdir()
        sweep(tmp_path, lambda _name: False)
        assert used.is_dir()
        assert not left.exists()
    assert not used.exists()
    with prepared(tmp_path) as kept:
        pass
    sweep(tmp_path, lambda name: name == kept.name)
    assert kept.is_dir()
    discard(tmp_path, kept.name)
    discard(tmp_path, kept.name)
    assert not kept.exists()
