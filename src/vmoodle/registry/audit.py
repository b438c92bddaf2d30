"""The audit trail: one line for each change, with who, what, when and how it ended."""

from __future__ import annotations

import getpass
import os

from vmoodle.registry.models import AuditEvent
from vmoodle.registry.text import storable, storable_members


def record(action: str, subject: str, outcome: str = "done", **detail: object) -> None:
    """Append an event; `detail` holds names and numbers, never a secret."""
    AuditEvent.objects.create(
        actor=current_actor(), action=action, subject=storable(subject), outcome=outcome,
        detail=storable_members(detail),
    )  # fmt: skip


def current_actor() -> str:
    """Return the person behind this process: the account, and by whom it was entered with sudo."""
    try:
        account = getpass.getuser()
    except (KeyError, OSError):
        account = f"uid {os.geteuid()}"
    behind = os.environ.get("SUDO_USER")
    return f"{behind} (as {account})" if behind and behind != account else account
