"""`vmoodle web-config`: which web root each host is served from, in the web server's own words."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from vmoodle.cli.output import Json, print_json, say


def web_config(
    server: Annotated[Literal["nginx", "apache"], typer.Argument(help="Which web server.")],
    write: Annotated[
        str, typer.Option(metavar="FILE", help="Write the map there, whole at once.")
    ] = "",
    check: Annotated[
        str, typer.Option(metavar="FILE", help="Status 4 unless this file is what would be made.")
    ] = "",
    print_server: Annotated[
        bool, typer.Option("--server", help="The server that uses the map, to be put in once.")
    ] = False,
    fpm: Annotated[
        str, typer.Option(help="Where PHP-FPM listens, for --server.")
    ] = "unix:/run/php/php-fpm.sock",
    json: Json = False,
) -> None:
    """Print the map of a web server: each host of the fleet to its codebase's web root.

    With `web.map` in vmoodle.toml VMoodle keeps the file by itself.
    """
    from vmoodle.errors import InvalidInput

    if bool(write) + bool(check) + print_server > 1:
        raise InvalidInput(
            "usage", "--write, --check and --server do not go together.", "Give one of them."
        )
    from vmoodle.installation import open_installation

    installation = open_installation()
    from vmoodle.lifecycle import web_map

    if print_server:
        path = installation.settings.web.map or installation.home.path / f"web-{server}.map"
        text = web_map.server_text(installation, server, fpm=fpm, map_file=str(path))
        print_json({"server": text}) if json else typer.echo(text, nl=False)
        return
    if check:
        web_map.refuse_stale(installation, server, web_map.checked_file(check))
        print_json({"file": check, "current": True}) if json else say(f"{check} is up to date")
        return
    if write:
        path = web_map.checked_file(write)
        changed = web_map.write(installation, server, path)
        if json:
            print_json({"file": str(path), "changed": changed})
        else:
            say(f"{path} was {'written' if changed else 'up to date'}")
        return
    text = web_map.map_text(installation, server)
    print_json({"map": text}) if json else typer.echo(text, nl=False)
