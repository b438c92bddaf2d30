"""Moodle's own scripts, run for many sites."""

from __future__ import annotations

import re
import shlex
from typing import Self

from pydantic import Field, model_validator

from vmoodle.errors import Failed, InvalidInput
from vmoodle.fleet.command import Command, Effect
from vmoodle.fleet.parameters import Parameters
from vmoodle.fleet.result import Changed, Result, Scalar, Text
from vmoodle.fleet.target_site import TargetSite
from vmoodle.moodle.code.tree import MoodleTree
from vmoodle.moodle.scripts.script import CompletedScript

# What a run is ordered with is kept, and is on the script's command line.
_SECRET_OPTION = re.compile(r"(--?[\w-]*(?:pass|secret|token)[\w-]*)=.", re.IGNORECASE)
_MOST_TOLD = 4000


class Script(Parameters):
    """A script and its arguments."""

    script: str = Field(description="As admin/cli/cron.php, relative to the code tree.")
    argument: list[str] = Field(
        default_factory=list, description="Given to the script as it is; repeatable."
    )

    @property
    def words(self) -> str:
        """The script and its arguments, as a shell reads them."""
        return shlex.join([self.script, *self.argument])

    @model_validator(mode="after")
    def _have_no_secret(self) -> Self:
        for one in self.argument:
            if found := _SECRET_OPTION.match(one):
                raise InvalidInput(
                    "exec.secret",
                    f"The argument {found[1]} would be kept with the run in clear.",
                    "`vmoodle exec SITE -- …` keeps none; `vmoodle admin reset` sets passwords.",
                )
        return self


class Exec(Command[Script]):
    """Run a script."""

    name = "exec"
    title = "Run one of Moodle's own scripts; what it printed, and where it failed."
    effect = Effect.WRITES
    model = Script
    scripts = True
    timeout = 600

    def run(self, site: TargetSite) -> Changed:
        """Run it and return what it printed; a status that is not 0 is a failure."""
        done = site.run_script(self.given.script, self.given.argument)
        if done.exit_status != 0:
            raise _failed(self.given.script, done)
        output = done.output_tail.strip("\n")
        return Changed(Text(output) if output else Scalar("(no output)"))

    def dry_run(self, site: TargetSite) -> Result:
        """Return what would be run, for a script that the site's code has."""
        MoodleTree.open(site.codebase).script(self.given.script)
        return Scalar(f"would run {self.given.words}")


def _failed(script: str, done: CompletedScript) -> Failed:
    """Return the error of a script that did not end well, with the end of what it printed."""
    output = done.output_tail.strip()
    told = output if len(output) <= _MOST_TOLD else f"… {output[-_MOST_TOLD:]}"
    lines = "\n" if "\n" in told else " "
    return Failed(
        "exec.status",
        f"{script} ended with status {done.exit_status}"
        + (f":{lines}{told}" if told else ", and printed nothing."),
        "It may have changed the site before.",
    )
