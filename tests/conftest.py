"""Fixtures every kind of test uses: a home of its own for each test, connected to its registry."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))

from vmoodle.installation import Installation, open_installation


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home that the web account can traverse, gone after the test."""
    directory = Path(tempfile.mkdtemp(prefix="vmoodle-test-"))
    directory.chmod(0o711)
    monkeypatch.setenv("VMOODLE_HOME", str(directory / "home"))
    yield directory / "home"
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def installation(home: Path) -> Iterator[Installation]:
    """An installation on that home, its registry empty."""
    from django.conf import settings

    if settings.configured:
        from django.db import connections

        connections["default"].close()
        connections["default"].settings_dict["NAME"] = str(home / "registry.sqlite3")
    yield open_installation()
    from django.db import connections

    connections.close_all()
