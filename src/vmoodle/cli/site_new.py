"""`vmoodle site create|clone`: make a site, and show what came of it."""

from __future__ import annotations

from pathlib import Path
from textwrap import fill
from typing import Annotated, Any

import typer

from vmoodle.cli.output import Json, print_block, print_json, print_text, say, show_queued
from vmoodle.cli.site_words import Detach, Labels, Shortname

AdminUser = Annotated[str, typer.Option(help="The administrator's user name.")]
AdminEmail = Annotated[str, typer.Option(help="The administrator's e-mail address.")]
PasswordFile = Annotated[
    str | None,
    typer.Option(help="File with the administrator's password, - for standard input."),
]
PasswordOut = Annotated[
    Path | None, typer.Option(help="New file (0600) that a generated password goes to.")
]
Url = Annotated[str, typer.Option(help="The site's wwwroot, as https://school1.example.org.")]
FullName = Annotated[
    str | None, typer.Option(help="Full name of the site; by default the shortname.")
]
Prefix = Annotated[str, typer.Option(help="Prefix of its tables; a copy has its source's.")]


def create(
    shortname: Shortname,
    url: Url,
    name: FullName = None,
    template: Annotated[
        str, typer.Option(help="Make it from this template instead of installing Moodle.")
    ] = "",
    snapshot: Annotated[
        str, typer.Option(help="Make it from this snapshot, with an identity of its own.")
    ] = "",
    codebase: Annotated[str, typer.Option(help="Codebase; needed when there are several.")] = "",
    server: Annotated[str, typer.Option(help="Database server; needed when several.")] = "",
    admin_user: AdminUser = "",
    admin_email: AdminEmail = "",
    admin_password_file: PasswordFile = None,
    admin_password_out: PasswordOut = None,
    prefix: Prefix = "",
    label: Labels = None,
    detach: Detach = False,
    json: Json = False,
) -> None:
    """Create a site, fresh or from a template, and prove it by a request that shows its name."""
    from vmoodle.registry.source_names import template_or_snapshot

    _make(
        {
            "shortname": shortname,
            "url": url,
            "name": name,
            "codebase": codebase,
            "server": server,
            "admin_user": admin_user,
            "admin_email": admin_email,
            "table_prefix": prefix,
            "labels": label or [],
        },
        password_file=admin_password_file,
        password_out=admin_password_out,
        source=template_or_snapshot(template, snapshot),
        detach=detach,
        json=json,
    )


def clone(
    source: Annotated[str, typer.Argument(help="Shortname of the site to copy.")],
    shortname: Annotated[str, typer.Argument(help="Shortname of the new site.")],
    url: Url,
    name: FullName = None,
    sanitise: Annotated[
        str, typer.Option(help="Policy applied to the copy; `vmoodle site policies` lists them.")
    ] = "",
    codebase: Annotated[str, typer.Option(help="Codebase; the source's when not given.")] = "",
    server: Annotated[str, typer.Option(help="Database server; the source's when not given.")] = "",
    admin_user: AdminUser = "",
    admin_email: AdminEmail = "",
    admin_password_file: PasswordFile = None,
    admin_password_out: PasswordOut = None,
    prefix: Prefix = "",
    label: Labels = None,
    detach: Detach = False,
    json: Json = False,
) -> None:
    """Copy a site, which serves on, into a new one with an identity of its own."""
    from vmoodle.registry.source_names import SourceKind

    _make(
        {
            "shortname": shortname,
            "url": url,
            "name": name,
            "codebase": codebase,
            "server": server,
            "admin_user": admin_user,
            "admin_email": admin_email,
            "table_prefix": prefix,
            "labels": label or [],
        },
        password_file=admin_password_file,
        password_out=admin_password_out,
        source=SourceKind.SITE.named(source),
        sanitise=sanitise,
        detach=detach,
        json=json,
    )


def policies(
    name: Annotated[str, typer.Argument(help="Only this one, with all it does.")] = "",
    json: Json = False,
) -> None:
    """List the policies that make a copy safe to use; with a name, what each rule of it does."""
    from vmoodle.moodle.identity.sanitise import POLICIES, find_policy

    chosen = [find_policy(name)] if name else list(POLICIES.values())
    if json:
        print_json(
            [
                {
                    "policy": policy.name,
                    "title": policy.title,
                    "rules": [
                        {"what": rule.label, "action": rule.action.value, "reason": rule.reason}
                        for rule in policy.rules
                    ],
                }
                for policy in chosen
            ]
        )
        return
    for policy in chosen:
        print_text(f"{policy.name}  ({len(policy.rules)} rules)")
        print_text(fill(policy.title, 100, initial_indent="  ", subsequent_indent="  "))
    if not name:
        say("vmoodle site policies NAME shows the rules of one.")
        return
    alike: dict[tuple[str, str], list[str]] = {}
    for rule in chosen[0].rules:
        alike.setdefault((rule.action.value, rule.reason), []).append(rule.label)
    for (action, reason), labels in alike.items():
        what = f"{action}: {', '.join(labels)}"
        print_text(fill(what, 100, initial_indent="  ", subsequent_indent="      "))
        print_text(f"    {reason}")


def _make(
    values: dict[str, Any],
    *,
    password_file: str | None,
    password_out: Path | None,
    source: str,
    detach: bool,
    json: bool,
    sanitise: str = "",
) -> None:
    """Order the site, carry the operation out, and show the site and a generated password.

    `values` are a SiteRequest's. Without a source Moodle's own installer makes the site.
    """
    from vmoodle.cli.passwords import how_to_get, new_file, show_once
    from vmoodle.cli.progress import carry_out
    from vmoodle.cli.secrets_in import read_secret
    from vmoodle.cli.site_facts import site_facts
    from vmoodle.installation import open_installation

    _refuse_lost_password(password_file, password_out, detach=detach, json=json)
    password = read_secret(password_file) if password_file else None
    installation = open_installation()
    from vmoodle.lifecycle.create import create, deploy
    from vmoodle.lifecycle.create.request import SiteRequest
    from vmoodle.operations.follow import warm_up
    from vmoodle.registry import sites
    from vmoodle.registry.models import Operation

    if not detach:
        warm_up(installation)
    request = SiteRequest(**values, admin_password=password)

    def submit() -> Operation:
        if source:
            return deploy.submit(installation, request, source, sanitise=sanitise)
        return create.submit(installation, request)

    if detach:
        operation = submit()
        facts = {"site": values["shortname"]}
        if password is None:
            facts["password"] = how_to_get(operation)
        show_queued(operation.id, facts, json=json)
        return
    with new_file(password_out) as out:
        ended = carry_out(installation, submit())
        shown = site_facts(sites.find(values["shortname"]))
        if json:
            print_json(shown | {"operation": ended.id})
        else:
            print_block(shown)
        if password is None:
            show_once(installation, ended, out)


def _refuse_lost_password(
    password_file: str | None, password_out: Path | None, *, detach: bool, json: bool
) -> None:
    """Raise InvalidInput where a generated password could be shown nowhere."""
    from vmoodle.errors import InvalidInput

    if json and not detach and password_file is None and password_out is None:
        raise InvalidInput(
            "site.password.nowhere",
            "With --json a generated password would be shown nowhere.",
            "Give one with --admin-password-file, or name a file for it: --admin-password-out.",
        )
    if password_out is not None and (detach or password_file is not None):
        raise InvalidInput(
            "site.password.out",
            "--admin-password-out is for a password that this call generates and waits for.",
            "After --detach: vmoodle operation follow ID --password-out FILE.",
        )
