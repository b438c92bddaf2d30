"""`vmoodle config`: settings of Moodle and its plugins over many sites."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from vmoodle.cli.output import Json
from vmoodle.cli.run_start import On, Timeout, carry_out

if TYPE_CHECKING:
    from vmoodle.fleet.command import AnyCommand
    from vmoodle.installation import Installation

app = typer.Typer(help="Settings of Moodle and its plugins over many sites.", no_args_is_help=True)

Names = Annotated[
    list[str], typer.Argument(metavar="SETTING...", help="name, or component/name; * and ? too.")
]


@app.command()
def get(setting: Names, on: On, timeout: Timeout = None, json: Json = False) -> None:
    """Tell settings as Moodle goes by them; forced ones are shown as such."""
    from vmoodle.installation import open_installation

    installation = open_installation()
    from vmoodle.fleet.commands.config import Get

    _run(installation, Get, setting, on, timeout, json=json)


@app.command()
def compare(setting: Names, on: On, timeout: Timeout = None, json: Json = False) -> None:
    """Show where sites differ: what most have, and who has something else."""
    from vmoodle.installation import open_installation

    installation = open_installation()
    from vmoodle.fleet.commands.config import Compare

    _run(installation, Compare, setting, on, timeout, json=json)


def _run(
    installation: Installation,
    command: type[AnyCommand],
    setting: list[str],
    on: str,
    timeout: float | None,
    *,
    json: bool,
) -> None:
    from vmoodle.fleet.order import prepare
    from vmoodle.fleet.parameters import given

    values = given(command.model, {"setting": setting})
    order = prepare(installation, command, values, on, timeout=timeout)
    carry_out(installation, order, json=json)
