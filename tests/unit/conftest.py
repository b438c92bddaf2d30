"""Fixtures that several modules of unit tests share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.published_sites import make_site

from vmoodle.installation import Installation


@pytest.fixture
def site(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An enabled site, published, of which the ledger says that VMoodle made it."""
    from vmoodle.lifecycle import purge

    monkeypatch.setattr(purge, "check_engine", lambda _engine: None)
    return make_site(installation, "one")


@pytest.fixture
def journal(installation: Installation) -> Path:
    """The file to which the steps of toy operations write what they do."""
    return installation.home.path / "journal"
