"""Moodle's own scripts, run for many sites."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Self

from pydantic import Field, model_validator

from vmoodle.errors import Failed, InvalidInput
from vmoodle.fleet.command import Command, Effect
from vmoodle.fleet.parameters import Parameters, SettledSecret, secret_texts
from vmoodle.fleet.result import Changed, Result, Scalar, Text
from vmoodle.fleet.target_site import TargetSite
from vmoodle.moodle.code.tree import MoodleTree
from vmoodle.moodle.scripts.script import Argument, CompletedScript
from vmoodle.moodle.scripts.secret_words import masked_words, prints_secrets, secret_words
from vmoodle.secret import Secret

if TYPE_CHECKING:
    from vmoodle.installation import Installation

_MOST_TOLD = 4000


class Script(Parameters):
    """A script and its arguments; those that hold a secret are taken out when it is ordered."""

    script: str = Field(description="As admin/cli/cron.php, relative to the code tree.")
    argument: list[str] = Field(
        default_factory=list, description="Given to the script as it is; repeatable."
    )

    secrets: SettledSecret

    @property
    def words(self) -> str:
        """The script and its arguments, as a shell reads them and as they may be seen."""
        return shlex.join([self.script, *self.argument])

    def arguments(self) -> list[Argument]:
        """Return what the script is given."""
        secrets = secret_texts(self.secrets)
        return [
            Secret(secrets[str(place)]) if str(place) in secrets else word
            for place, word in enumerate(self.argument)
        ]

    @model_validator(mode="after")
    def _print_no_secret(self) -> Self:
        if prints_secrets(self.script, self.argument):
            raise InvalidInput(
                "exec.secret",
                "The script would print secrets of the sites, and a run keeps what is printed.",
                "`vmoodle config get` shows settings and hides secrets; `vmoodle exec SITE -- …` "
                "keeps nothing.",
            )
        return self


class RunScript(Command[Script]):
    """Run a script."""

    name = "exec"
    title = "Run one of Moodle's own scripts; what it printed, and where it failed."
    effect = Effect.WRITES
    model = Script
    scripts = True
    timeout = 600

    @classmethod
    def settle(cls, given: Script, installation: Installation) -> Script:  # noqa: ARG003
        """Take the arguments that hold a secret out of what a run shows."""
        found = secret_words(given.script, given.argument)
        if not found:
            return given
        return given.model_copy(
            update={
                "argument": masked_words(given.argument, found),
                "secrets": Secret(json.dumps(found)),
            }
        )

    def run(self, site: TargetSite) -> Changed:
        """Run it and return what it printed; a status that is not 0 is a failure."""
        done = site.run_script(self.given.script, self.given.arguments())
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
