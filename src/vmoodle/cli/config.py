"""`vmoodle config`: settings of Moodle and its plugins over many sites."""

from __future__ import annotations

from typing import Annotated

import typer

from vmoodle.cli.output import Json
from vmoodle.cli.run_start import On, Timeout, order_and_carry_out

app = typer.Typer(help="Settings of Moodle and its plugins over many sites.", no_args_is_help=True)

Names = Annotated[
    list[str], typer.Argument(metavar="SETTING...", help="name, or component/name; * and ? too.")
]


@app.command()
def get(setting: Names, on: On, timeout: Timeout = None, json: Json = False) -> None:
    """Tell settings as Moodle goes by them; forced ones are shown as such."""
    order_and_carry_out("config.get", {"setting": setting}, on, timeout=timeout, json=json)


@app.command()
def compare(setting: Names, on: On, timeout: Timeout = None, json: Json = False) -> None:
    """Show where sites differ: what most have, and who has something else."""
    order_and_carry_out("config.compare", {"setting": setting}, on, timeout=timeout, json=json)
