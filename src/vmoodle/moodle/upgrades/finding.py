"""What stands in the way of an upgrade, or is to be known before it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """Say how much a finding weighs."""

    BLOCKER = "blocker"
    WARNING = "warning"


@dataclass(frozen=True)
class UpgradeFinding:
    """One thing that was found; `code` is stable and documented."""

    level: Level
    code: str
    message: str
    hint: str = ""


def blocker(code: str, message: str, hint: str = "") -> UpgradeFinding:
    """Return a finding with which the upgrade cannot go well."""
    return UpgradeFinding(Level.BLOCKER, code, message, hint)


def warning(code: str, message: str, hint: str = "") -> UpgradeFinding:
    """Return a finding with which the upgrade can go on."""
    return UpgradeFinding(Level.WARNING, code, message, hint)
