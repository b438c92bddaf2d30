"""Commands for the tests of runs: they ask no site, and tell in files what they did."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Collection, Iterable
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from vmoodle.errors import Conflict, Refused, Unavailable
from vmoodle.fleet import command_sets
from vmoodle.fleet.command import Command, Comparison, Effect
from vmoodle.fleet.parameters import Parameters, SecretParameter
from vmoodle.fleet.result import Changed, Compared, Matrix, Result, Scalar, Table
from vmoodle.fleet.target_site import TargetSite
from vmoodle.secret import Secret

if TYPE_CHECKING:
    from vmoodle.installation import Installation

_LIMIT_SECONDS = 60


class How(Parameters):
    """Which sites fail, and which wait for a file `go` in the directory."""

    directory: str = ""
    fails: str = ""
    waits: str = ""
    key: SecretParameter = Secret("")


class Ask(Command[How]):
    name, title, effect, model = "tests.ask", "Answer.", Effect.READS, How

    def run(self, site: TargetSite) -> Result | Changed:
        _wait(self.given, site)
        if site.shortname in self.given.fails.split():
            raise Refused("tests.no", "No.", "Ask another.")
        return Scalar(len(site.shortname))


class Write(Ask):
    name, title, effect = "tests.write", "Write a line.", Effect.WRITES

    def run(self, site: TargetSite) -> Result | Changed:
        path = Path(self.given.directory) / site.shortname
        with path.open("a") as file:
            file.write("done\n")
        return super().run(site)

    def dry_run(self, site: TargetSite) -> Result:
        return Scalar(f"would write on {site.shortname}")


class Repeatable(Write):
    name, title, idempotent = "tests.repeatable", "Write a line, or two.", True


class Undoable(Ask):
    name, title, effect = "tests.undoable", "Make a file, and remove it again.", Effect.WRITES
    idempotent = True

    def run(self, site: TargetSite) -> Result | Changed:
        path = Path(self.given.directory) / site.shortname
        path.touch()
        answer = super().run(site)
        assert not isinstance(answer, Changed)
        # On a site that fails it was made all the same; on b2 nothing is kept to take it back by.
        return Changed(answer, None if site.shortname == "b2" else {"made": str(path)})

    def dry_run(self, site: TargetSite) -> Result:
        return Scalar(f"would make {site.shortname}")

    def undo(self, site: TargetSite, kept: Any, *, dry: bool) -> Result | Changed:  # noqa: ARG002
        path = Path(kept["made"])
        if not path.exists():
            raise Conflict("tests.gone", "Somebody else removed it.", "Look who.")
        if dry:
            return Scalar("would remove it")
        path.unlink()
        return Scalar("removed")


class Plain(Parameters):
    """Parameters without a secret."""

    fails: str = Field(default="")


class Plainly(Command[Plain]):
    name, title, effect, model = "tests.plain", "Answer plainly.", Effect.READS, Plain

    def run(self, site: TargetSite) -> Result:
        if site.shortname in self.given.fails.split():
            raise Refused("tests.no", "No.", "Ask another.")
        return Scalar(1)


class Busy(Command[How]):
    name, title, effect, model = "tests.busy", "Tell how many are at it.", Effect.READS, How
    scripts = True

    def run(self, site: TargetSite) -> Result:
        directory = Path(self.given.directory)
        mark = directory / site.shortname
        mark.touch()
        count = len(list(directory.iterdir()))
        threading.Event().wait(0.05)
        mark.unlink()
        return Scalar(count)


class Odd(Command[Parameters]):
    name, title, effect = "tests.odd", "Answer what is no result.", Effect.READS

    def run(self, site: TargetSite) -> Result:
        if site.shortname.endswith("1"):
            raise ZeroDivisionError("odd")
        return "no result"  # type: ignore[return-value]


class Strange(Parameters):
    """What a stranger's command does."""

    how: str
    key: SecretParameter = Secret("")


class Strangely(Command[Strange]):
    name, title, effect, model = "tests.strange", "Do what is odd.", Effect.WRITES, Strange

    def run(self, site: TargetSite) -> Result | Changed:
        if site.shortname != "a1":
            return Scalar(1)
        match self.given.how:
            case "nul":
                raise Refused("tests.no", "A \0 and a \udc80.", "No.")
            case "long":
                raise Refused("tests." + "x" * 200, "x" * 100_000, "No.")
            case "half a character":
                return Scalar("\udc80")
            case "uneven":
                return Table(("a",), ((1, 2),))
            case "secret":
                raise ValueError(f"with {self.given.key.reveal()}")
            case "told secret":
                raise Refused("tests.no", f"With {self.given.key.reveal()}.", "No.")
        raise Unavailable(self.given.how, "It was ended.", "No.")

    def dry_run(self, site: TargetSite) -> Result:  # noqa: ARG002
        return Scalar("would do it")


class StrangelyAgain(Strangely):
    name, title, idempotent = "tests.strangely", "Do what is odd, or twice.", True


class Breaking(Parameters):
    """Where a stranger's command breaks."""

    at: str
    key: SecretParameter = Secret("")


class Breaks(Command[Breaking]):
    name, title, effect, model = "tests.breaks", "Break.", Effect.READS, Breaking
    comparison = Comparison.MATRIX

    def __init__(self, given: Breaking) -> None:
        super().__init__(given)
        if given.at == "init":
            raise ZeroDivisionError(given.key.reveal())

    @classmethod
    def settle(cls, given: Breaking, installation: Installation) -> Breaking:  # noqa: ARG003
        if given.at == "settle":
            raise ZeroDivisionError(given.key.reveal())
        return given

    @classmethod
    def leaves_out(cls, given: Breaking) -> Collection[str]:
        if given.at == "leaves_out":
            raise ZeroDivisionError(given.key.reveal())
        return ()

    @classmethod
    def compare(cls, given: Breaking, answers: Iterable[tuple[str, Result]]) -> list[Compared]:
        if given.at == "compare":
            raise ZeroDivisionError
        return super().compare(given, answers)

    def run(self, site: TargetSite) -> Result:
        return Matrix({"name": site.shortname})


def _wait(given: How, site: TargetSite) -> None:
    if site.shortname in given.waits.split():
        began = time.monotonic()
        while not (Path(given.directory) / "go").exists():
            assert time.monotonic() - began < _LIMIT_SECONDS
            threading.Event().wait(0.01)


def install() -> None:
    """Let this process find these commands, as those of a package that is installed."""
    entry = EntryPoint("tests", __name__, command_sets.GROUP)
    command_sets.entry_points = lambda **_group: [entry]  # type: ignore[assignment, return-value]


def main() -> None:
    """Follow the operation named in the environment, as a process that a test can kill."""
    from vmoodle.installation import open_installation

    installation = open_installation()
    from vmoodle.fleet.kinds import KINDS
    from vmoodle.operations.follow import follow

    install()
    follow(installation, KINDS, os.environ["OPERATION"], lambda _row, _events: None)


if __name__ == "__main__":
    main()
