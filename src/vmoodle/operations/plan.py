"""What an operation is made of: small steps that can be repeated, each with its undo."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vmoodle.installation import Installation


@dataclass(frozen=True)
class StepContext:
    """What a step is given: the installation, the operation's own data, and a way to speak."""

    installation: Installation
    operation_id: str
    subject: str
    """What the operation holds: a site's shortname, or `template:NAME`."""
    parameters: Mapping[str, Any]
    say: Callable[[str], None]
    keep: Callable[[Mapping[str, Any]], None]
    """Add members to the operation's result (names and numbers, never a secret)."""

    @property
    def site(self) -> str:
        """The shortname, in an operation on a site."""
        return self.subject


StepFunction = Callable[[StepContext], None]


def nothing_to_undo(_context: StepContext) -> None:
    """Undo of a step that makes nothing."""


@dataclass(frozen=True)
class Step:
    """One step. `act` may run again after a crash; `undo` takes back what it made, or half of it.

    A step without undo (`undo=None`) is a point of no return: an operation that fails in it or
    behind it does not go back, it needs attention.
    """

    name: str
    title: str
    act: StepFunction
    undo: StepFunction | None = nothing_to_undo


@dataclass(frozen=True)
class OperationKind:
    """A named sequence of steps, and what happens when all is done or nothing could be."""

    name: str
    title: str
    steps: tuple[Step, ...]
    when_reverted: str = "What it had made was taken back."
    """What is true again once it was taken back or cancelled, in one sentence for a person."""
    attention: Callable[[StepContext], None] = field(default=nothing_to_undo)
    """Called when the operation stops and needs attention, so that the site says so."""
    background: bool = False
    """Nobody waits for it: a call that executes for as long as it lasts leaves it to a worker."""
    beside_cron: bool = False
    """It only reads the site: a cron that does not end in time is not stopped."""

    def can_go_back(self, steps_entered: int) -> bool:
        """Tell whether all of the first so many steps can be taken back."""
        return all(step.undo is not None for step in self.steps[:steps_entered])


Kinds = Mapping[str, OperationKind]


def title_of_step(kinds: Kinds, kind: str, step: str) -> str:
    """Return what a step does, in words; its name where this release knows no such step."""
    steps = kinds[kind].steps if kind in kinds else ()
    return next((one.title for one in steps if one.name == step), step)
