"""`vmoodle backup`: the control plane in one file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from vmoodle.cli.output import Json, in_bytes, print_block, print_json, say
from vmoodle.cli.progress import showing

if TYPE_CHECKING:
    from vmoodle.lifecycle.backup.archive import Contents

File = Annotated[Path, typer.Argument(metavar="FILE", help="The backup, .tar.zst or .tar.")]


class _CreatedByDefault(TyperGroup):
    """Understands `backup FILE` as `backup create FILE`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in {*self.commands, *ctx.help_option_names}:
            args = ["create", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_CreatedByDefault,
    help="The control plane in one file: registry, operations, settings, key and map. "
    "`vmoodle backup FILE` is `vmoodle backup create FILE`.",
    no_args_is_help=True,
)


@app.command()
def create(file: File, json: Json = False) -> None:
    """Write a new backup, while operations run if need be; it holds the key and all passwords."""
    from vmoodle.installation import open_installation

    installation = open_installation()
    from vmoodle.lifecycle.backup import take

    with showing("copying"):
        contents = take.take(installation, file)
    _show(file, contents, json=json)


@app.command()
def verify(file: File, json: Json = False) -> None:
    """Read a whole backup and tell what it is of; nothing is changed."""
    from vmoodle.lifecycle.backup import restore as restoring

    with showing("reading"):
        contents = restoring.verify(file)
    _show(file, contents, json=json)


@app.command()
def restore(file: File, json: Json = False) -> None:
    """Put a backup into a home that has no state yet."""
    from vmoodle.home import locate_home
    from vmoodle.lifecycle.backup import restore as restoring

    home = locate_home()
    with showing("restoring"):
        contents = restoring.restore(file, home)
    _show(file, contents, json=json)
    if contents.home != str(home.path):
        say(f"It was taken of {contents.home}; sites keep their files and config.php there.")
    say("vmoodle doctor tells what is missing; vmoodle worker goes on with what was under way.")


def _show(file: Path, contents: Contents, *, json: bool) -> None:
    size = file.stat().st_size
    facts: dict[str, Any] = {
        "file": str(file),
        "bytes": size,
        "created": contents.created,
        "vmoodle": contents.vmoodle,
        "home": contents.home,
        "node": contents.node,
        "sites": contents.sites,
        "files": len(contents.files) + len(contents.links),
    }
    if json:
        print_json(facts)
    else:
        print_block(facts | {"bytes": in_bytes(size)})
