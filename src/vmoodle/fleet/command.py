"""A command of super-administration: what it is called and takes, and what it does on one site."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from vmoodle.errors import InvalidInput, Refused, VMoodleError
from vmoodle.fleet.copy_source import sources_of
from vmoodle.fleet.parameters import Parameters, parameters, schema
from vmoodle.fleet.result import Changed, Compared, Result, compared
from vmoodle.fleet.target_site import TargetSite

if TYPE_CHECKING:
    from vmoodle.installation import Installation

P = TypeVar("P", bound=Parameters)
NAME = re.compile(r"[a-z][a-z0-9-]{0,30}(\.[a-z][a-z0-9-]{0,30})?")
FOR_STATES = frozenset({"enabled", "suspended"})


class Effect(StrEnum):
    """What a command does to a site."""

    READS = "reads"
    WRITES = "writes"
    INTERRUPTS = "interrupts service"

    @property
    def changes(self) -> bool:
        """Tell whether a site is another afterwards."""
        return self is not Effect.READS


class Comparison(StrEnum):
    """How the answers of many sites are shown together."""

    GROUPED = "grouped"
    """Each answer once, with the sites that gave it."""
    MERGED = "merged"
    """One table of all rows, with a column for the site."""
    MATRIX = "matrix"
    """Names down, sites across, with what most sites have."""
    BY_ROW = "by row"
    """Each row of the tables once, with the sites that have it."""
    BY_SHAPE = "by shape"
    """Grouped where each answer is one cell, else merged."""


class Command(ABC, Generic[P]):
    """A command; an instance has its parameters and runs on one site after another, or at once.

    A third party's command has the same members. `name` is `set.verb`, or `verb` alone.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    """What it does, in one sentence for lists."""
    effect: ClassVar[Effect]
    model: ClassVar[type[Parameters]] = Parameters
    """Its parameters."""
    idempotent: ClassVar[bool] = False
    """For one that changes: to repeat it does no harm. Otherwise it is never repeated by itself."""
    timeout: ClassVar[float | None] = None
    """Seconds it may take on a site; the setting `fleet.timeout` where it says nothing."""
    comparison: ClassVar[Comparison] = Comparison.GROUPED
    scripts: ClassVar[bool] = False
    """It keeps a core busy with PHP on each site: no more of them together than there are cores."""
    states: ClassVar[Collection[str]] = FOR_STATES
    """The states of sites it is for."""
    silence: ClassVar[str] = ""
    """What is said of a site whose table has no row, where that is not just said."""

    def __init__(self, given: P) -> None:
        self.given = given

    @classmethod
    def settle(cls, given: P, installation: Installation) -> P:  # noqa: ARG003
        """Return the parameters with what they only name put in, once, when it is ordered.

        What is read of a source site is so the same for the trial and for every site, and is kept
        with the run. Raise VMoodleError for what cannot be had.
        """
        return given

    @classmethod
    def notes(cls, given: P) -> Sequence[str]:  # noqa: ARG003
        """Return what is to be known of the order as a whole, told once and not for each site."""
        return ()

    @classmethod
    def leaves_out(cls, given: P) -> Collection[str]:
        """Return the sites that are never targets: by default the one that is the source."""
        return sources_of(given)

    @classmethod
    def compare(cls, given: P, answers: Iterable[tuple[str, Result]]) -> list[Compared]:  # noqa: ARG003
        """Return the fleet's matrix of the answers, for a command whose comparison that is.

        By default each name is compared with what most sites have. Raise VMoodleError where the
        answers together show that the parameters were wrong.
        """
        return compared(answers)

    @classmethod
    def judge(
        cls, given: P, answers: Mapping[str, Result], failures: Collection[VMoodleError]
    ) -> None:
        """Raise VMoodleError where what the trials of a change answered shows a wrong parameter.

        One site may lack a role; a name that none of them knows is a slip.
        """

    @classmethod
    def judge_reading(
        cls, given: P, answers: Mapping[str, Result], look: Callable[[], TargetSite]
    ) -> None:
        """Raise VMoodleError where what all sites answered, without a failure, shows a slip.

        `look` opens one of the sites, to tell what is near.
        """

    @classmethod
    def changes_nothing(cls, answer: Result) -> bool:  # noqa: ARG003
        """Tell by what a trial answered whether the site would stay as it is.

        Where that is so of all sites, nothing is confirmed and nothing is run. By default never.
        """
        return False

    @abstractmethod
    def run(self, site: TargetSite) -> Result | Changed:
        """Do it on one site and return the answer; raise VMoodleError when it cannot be done.

        It runs in a thread of its own, for at most `site.timeout` seconds. What can be taken back
        returns Changed, with what `undo` is given then.
        """

    def dry_run(self, site: TargetSite) -> Result:  # noqa: ARG002 - theirs has use for it
        """Return what `run` would do on the site, and leave it as it is."""
        raise Refused(
            "command.dry_run",
            f"The command {self.name} cannot tell beforehand what it would do.",
            "Run it on one site first.",
        )

    def undo(self, site: TargetSite, kept: Any, *, dry: bool) -> Result | Changed:  # noqa: ARG002
        """Take back on one site what `run` did there, by what it kept; with `dry` only tell it.

        What has been changed by somebody else meanwhile is left, and said by an error.
        """
        raise nothing_to_undo(self.name)


AnyCommand = Command[Any]


def nothing_to_undo(name: str) -> Refused:
    """Return the error for what kept nothing to take it back by."""
    return Refused(
        "command.undo",
        f"What the command {name} did kept nothing by which to take it back.",
        "Restore a snapshot, or change it by another command.",
    )


def has_dry_run(command: type[AnyCommand]) -> bool:
    """Tell whether a command can say beforehand what it would do."""
    return command.dry_run is not Command.dry_run


def has_undo(command: type[AnyCommand]) -> bool:
    """Tell whether a command can take back what it did."""
    return command.undo is not Command.undo


def refuse_malformed(command: type[AnyCommand]) -> None:
    """Raise InvalidInput `command.malformed` for a command class that keeps not to the contract."""
    wrong = ""
    if not NAME.fullmatch(str(getattr(command, "name", ""))):
        wrong = "has no usable name"
    elif not getattr(command, "title", ""):
        wrong = "has no title"
    elif not isinstance(getattr(command, "effect", None), Effect):
        wrong = "does not say its effect"
    elif not (isinstance(command.model, type) and issubclass(command.model, Parameters)):
        wrong = "has a model that is no Parameters"
    elif getattr(command, "__abstractmethods__", None):
        wrong = "has no run"
    elif command.effect.changes and not has_dry_run(command):
        wrong = "changes sites and has no dry_run"
    if wrong:
        raise InvalidInput(
            "command.malformed",
            f"The command class {command.__qualname__} {wrong}.",
            "Tell whoever made the command set; `docs/how-to/write-a-command.md` has the contract.",
        )


def facts(command: type[AnyCommand]) -> dict[str, Any]:
    """Return what is to be known of a command, for JSON."""
    return {
        "name": command.name,
        "title": command.title,
        "effect": str(command.effect),
        "dry_run": has_dry_run(command),
        "undo": command.undo is not Command.undo,
        "timeout": command.timeout,
        "parameters": [one.as_facts() for one in parameters(command.model)],
        "schema": schema(command.model),
    }
