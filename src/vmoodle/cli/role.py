"""`vmoodle role`: roles over many sites, compared and made the same."""

from __future__ import annotations

from typing import Annotated

import typer

from vmoodle.cli.output import Json, print_block, print_json, print_table, say
from vmoodle.cli.run_start import (
    Confirm,
    Detach,
    DryRun,
    From,
    Keep,
    On,
    Timeout,
    Yes,
    order_and_carry_out,
)

app = typer.Typer(help="Roles over many sites, compared and made the same.", no_args_is_help=True)

Role = Annotated[str, typer.Argument(help="The role's shortname.")]
Roles = Annotated[
    list[str], typer.Argument(metavar="ROLE...", help="Roles by shortname; * and ? too.")
]
SomeRoles = Annotated[
    list[str] | None,
    typer.Argument(metavar="[ROLE...]", help="Roles by shortname; * and ? too; all without."),
]
Of = Annotated[str, typer.Option("--of", help="The site whose roles they are.")]
Against = Annotated[
    str, typer.Option("--against", help="Compare with this site, not with what most have.")
]
All = Annotated[bool, typer.Option("--all", help="Show what is the same on all of them too.")]
Table = Annotated[
    list[str] | None, typer.Option(help="Only assign, override, switch or view; repeatable.")
]


@app.command("list")
def list_roles(
    on: On,
    matrix: Annotated[
        bool, typer.Option("--matrix", help="Which site has which, by archetype.")
    ] = False,
    timeout: Timeout = None,
    json: Json = False,
) -> None:
    """List the roles of sites, with archetypes and the number of assignments."""
    name = "role.matrix" if matrix else "role.list"
    order_and_carry_out(name, {}, on, timeout=timeout, json=json)


@app.command()
def compare(
    role: Role,
    on: On,
    against: Against = "",
    component: Annotated[str, typer.Option(help="Only its capabilities, as mod_quiz.")] = "",
    everything: All = False,
    timeout: Timeout = None,
    json: Json = False,
) -> None:
    """Show where sites differ in a role: its facts, and its permissions by capability."""
    values = {"role": role, "against": against, "component": component, "all": everything}
    order_and_carry_out("role.compare", values, on, timeout=timeout, json=json)


@app.command("compare-allows")
def compare_allows(
    on: On,
    table: Table = None,
    against: Against = "",
    everything: All = False,
    timeout: Timeout = None,
    json: Json = False,
) -> None:
    """Show where sites differ in which roles may assign, override, switch to and see which."""
    values = {"table": table or [], "against": against, "all": everything}
    order_and_carry_out("role.compare-allows", values, on, timeout=timeout, json=json)


@app.command()
def show(role: Role, of: Of, json: Json = False) -> None:
    """Show one role of a site: its facts, and its permissions at system level."""
    from vmoodle.installation import open_installation

    installation = open_installation()
    from vmoodle.fleet.changes.role_files import definitions
    from vmoodle.moodle.roles.documents import as_document

    (found,) = definitions(installation, of, [role])
    document = as_document(found)
    if json:
        print_json(document)
        return
    permissions, allows = document.pop("permissions"), document.pop("allows")
    levels = ", ".join(document.pop("context_levels"))
    may = {f"may {allow}": ", ".join(others) for allow, others in allows.items()}
    print_block(document | {"context levels": levels} | may)
    print_table(("CAPABILITY", "PERMISSION"), list(permissions.items()), "No permissions.")


@app.command()
def export(
    role: Roles,
    file: Annotated[str, typer.Argument(help="A new YAML file; - is standard output.")],
    of: Of,
    json: Json = False,
) -> None:
    """Write roles of a site into a YAML file, for `role sync --file`."""
    from vmoodle.installation import open_installation

    installation = open_installation()
    from vmoodle.fleet.changes.role_files import definitions, write

    found = definitions(installation, of, role)
    write(found, file)
    if json and file != "-":
        print_json({"file": file, "roles": [one.shortname for one in found]})
    elif file != "-":
        say(f"{len(found)} role(s) written to {file}")


@app.command()
def sync(
    on: On,
    role: SomeRoles = None,
    source: From = "",
    file: Annotated[str, typer.Option(help="A YAML file of them instead; - is stdin.")] = "",
    part: Annotated[
        list[str] | None,
        typer.Option(
            help="Only name, description, archetype, context-level, permission, allow-assign, "
            "allow-override, allow-switch or allow-view; repeatable."
        ),
    ] = None,
    keep: Keep = False,
    no_create: Annotated[
        bool, typer.Option("--no-create", help="Do not make a role that a site has not.")
    ] = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    confirm: Confirm = None,
    timeout: Timeout = None,
    detach: Detach = False,
    json: Json = False,
) -> None:
    """Make roles what they are on one site or in a file; overrides in courses stay."""
    from vmoodle.fleet.options import read_text

    order_and_carry_out(
        "role.sync",
        {
            "role": role or [], "source": source, "document": read_text(file) if file else "",
            "part": part or [], "keep": keep, "create": not no_create,
        },
        on, timeout=timeout, dry=dry_run, yes=yes, confirm=confirm, detach=detach, json=json,
    )  # fmt: skip


@app.command("sync-allows")
def sync_allows(
    on: On,
    source: From,
    role: SomeRoles = None,
    table: Table = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    confirm: Confirm = None,
    timeout: Timeout = None,
    detach: Detach = False,
    json: Json = False,
) -> None:
    """Make which roles may assign, override, switch to and see which what it is on one site."""
    order_and_carry_out(
        "role.sync-allows",
        {"role": role or [], "source": source, "table": table or []},
        on, timeout=timeout, dry=dry_run, yes=yes, confirm=confirm, detach=detach, json=json,
    )  # fmt: skip


@app.command()
def capability(
    role: Roles,
    capability: Annotated[str, typer.Argument(help="The capability, as mod/quiz:view.")],
    on: On,
    allow: Annotated[bool, typer.Option("--allow", help="The roles have it.")] = False,
    prevent: Annotated[bool, typer.Option("--prevent", help="They have it not.")] = False,
    prohibit: Annotated[
        bool, typer.Option("--prohibit", help="They have it not, whatever else is said.")
    ] = False,
    inherit: Annotated[bool, typer.Option("--inherit", help="They say nothing of it.")] = False,
    source: From = "",
    dry_run: DryRun = False,
    yes: Yes = False,
    confirm: Confirm = None,
    timeout: Timeout = None,
    detach: Detach = False,
    json: Json = False,
) -> None:
    """Set or remove one capability of roles at system level.

    The last word is the capability, all before it are roles; several capabilities take several
    calls.
    """
    from vmoodle.fleet.parameters import refuse_together

    words = {"allow": allow, "prevent": prevent, "prohibit": prohibit, "inherit": inherit}
    refuse_together(**words)
    said = [word for word, chosen in words.items() if chosen]
    order_and_carry_out(
        "role.capability",
        {
            "role": role, "capability": capability, "permission": "".join(said), "source": source
        },
        on, timeout=timeout, dry=dry_run, yes=yes, confirm=confirm, detach=detach, json=json,
    )  # fmt: skip


@app.command()
def reset(
    role: Roles,
    on: On,
    dry_run: DryRun = False,
    yes: Yes = False,
    confirm: Confirm = None,
    timeout: Timeout = None,
    detach: Detach = False,
    json: Json = False,
) -> None:
    """Reset roles to the permissions of their archetypes, by Moodle itself."""
    order_and_carry_out(
        "role.reset", {"role": role},
        on, timeout=timeout, dry=dry_run, yes=yes, confirm=confirm, detach=detach, json=json,
    )  # fmt: skip


@app.command()
def resync(
    on: On,
    source: From,
    role: SomeRoles = None,
    capability: Annotated[str, typer.Option(help="One capability, as mod/quiz:view.")] = "",
    component: Annotated[str, typer.Option(help="All of a component, as mod_quiz.")] = "",
    dry_run: DryRun = False,
    yes: Yes = False,
    confirm: Confirm = None,
    timeout: Timeout = None,
    detach: Detach = False,
    json: Json = False,
) -> None:
    """Make a capability, or all of a component, of all roles what it is on one site."""
    order_and_carry_out(
        "role.resync",
        {
            "role": role or [], "source": source, "capability": capability,
            "component": component,
        },
        on, timeout=timeout, dry=dry_run, yes=yes, confirm=confirm, detach=detach, json=json,
    )  # fmt: skip
