"""Fixtures every kind of test uses: a home of its own for each test, connected to its registry."""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling, Scheduling

sys.path.insert(0, str(Path(__file__).parent.parent))

from vmoodle.installation import Installation, open_installation

# The parameters of a fixture that makes a fleet or a server.
_MADE = re.compile(r"[\[-](mariadb|postgresql|embedded|sandbox|real)\b")


class FleetScheduling(LoadScopeScheduling):
    """Give one process all tests that share a fleet: a module, or one engine in it."""

    def _split_scope(self, nodeid: str) -> str:
        module, _separator, test = nodeid.partition("::")
        found = _MADE.search(test)
        made = found[1] if found else ""
        if module.startswith("tests/moodle/") and made in ("sandbox", "real"):
            return made  # all modules there share a fleet for each kind of tree
        return f"{module} {made}"


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling | None:
    """Let `--dist loadscope` be by fleet."""
    return FleetScheduling(config, log) if config.getvalue("dist") == "loadscope" else None


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
