"""`vmoodle forced`: settings forced on the fleet, on labels and on sites."""

from __future__ import annotations

from json import dumps
from typing import Annotated

import typer

from vmoodle.cli.output import Json, print_json, print_table, print_text
from vmoodle.cli.progress import showing

app = typer.Typer(help="Settings forced on the fleet, on labels, on sites.", no_args_is_help=True)

Setting = Annotated[str, typer.Argument(help="name for $CFG->name, component/name for a plugin.")]
OnSite = Annotated[str, typer.Option("--site", help="Only on this site.")]
OnLabel = Annotated[str, typer.Option("--label", help="Only on sites with this key=value.")]


@app.command("set")
def set_forced(
    setting: Setting,
    value: Annotated[
        str | None, typer.Argument(help="Read as JSON when it is JSON, else as text.")
    ] = None,
    value_file: Annotated[
        str | None,
        typer.Option(help="Instead: file with the value, a text as it is; - for standard input."),
    ] = None,
    site: OnSite = "",
    label: OnLabel = "",
    json: Json = False,
) -> None:
    """Force a setting, on the whole fleet when neither --site nor --label is given.

    A secret is given by --value-file, for others can see the arguments of a call.
    """
    from vmoodle.cli.secrets_in import read_value
    from vmoodle.errors import InvalidInput
    from vmoodle.installation import open_installation

    if (value is None) == (value_file is None):
        raise InvalidInput(
            "forced.value.which",
            "A setting is forced to one value.",
            "Give a value, or --value-file with a file that holds it.",
        )
    given = read_value(value_file) if value_file is not None else value or ""
    installation = open_installation()
    from vmoodle.lifecycle import force

    scope = force.scope_of(site, label)
    with showing("publishing the sites") as tell:
        count = force.force(installation, scope, setting, given, tell)
    if json:
        print_json({"setting": setting, "scope": str(scope), "forced": True, "published": count})
        return
    print_text(f"{setting} is forced for the {scope}; {count} site(s) published")


@app.command("unset")
def unset_forced(
    setting: Setting, site: OnSite = "", label: OnLabel = "", json: Json = False
) -> None:
    """Stop forcing a setting."""
    from vmoodle.installation import open_installation

    installation = open_installation()
    from vmoodle.lifecycle import force

    scope = force.scope_of(site, label)
    with showing("publishing the sites") as tell:
        count = force.release(installation, scope, setting, tell)
    if json:
        print_json({"setting": setting, "scope": str(scope), "forced": False, "published": count})
        return
    print_text(f"{setting} is no longer forced for the {scope}; {count} site(s) published")


@app.command("list")
def list_forced(json: Json = False) -> None:
    """List what is forced where."""
    from vmoodle.installation import open_installation

    open_installation()
    from vmoodle.registry import forced

    rows = [
        {
            "scope": str(forced.Scope(row.site, row.label_key, row.label_value)),
            "setting": f"{row.component}/{row.name}" if row.component else row.name,
            "value": row.value,
        }
        for row in forced.rows()
    ]
    if json:
        print_json(rows)
        return
    print_table(
        ("SCOPE", "SETTING", "VALUE"),
        [(row["scope"], row["setting"], dumps(row["value"], ensure_ascii=False)) for row in rows],
        "Nothing is forced.",
    )
