"""What an administrator asks for when a site is to be made, checked and completed."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction

from vmoodle.engines.names import names_for
from vmoodle.hook.address import SiteAddress, parse_wwwroot
from vmoodle.installation import Installation
from vmoodle.lifecycle import dataroot, names
from vmoodle.lifecycle.create.settings import NewSettings
from vmoodle.registry import audit, operations, sites
from vmoodle.registry.models import Codebase, DatabaseServer, Operation
from vmoodle.secret import Secret, generate_password


@dataclass(frozen=True)
class SiteRequest:
    """What an administrator asks for; None and empty texts stand for the default, save a name."""

    shortname: str
    url: str
    name: str | None = None
    codebase: str = ""
    server: str = ""
    admin_user: str = ""
    admin_email: str = ""
    admin_password: Secret | None = None
    table_prefix: str = ""
    labels: list[str] = field(default_factory=list)
    settings: NewSettings = field(default_factory=NewSettings)
    suspended: str = ""
    """Why the site is suspended once it is proved; empty for one that serves."""


@dataclass(frozen=True)
class WantedSite:
    """A request that names a usable site: its row's values, address, labels, settings and state.

    `parameters` are what the operation that makes it is told besides.
    """

    values: dict[str, Any]
    address: SiteAddress
    labels: dict[str, str]
    settings: NewSettings = field(default_factory=NewSettings)
    suspended: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)


def refuse_unusable(request: SiteRequest) -> None:
    """Raise InvalidInput for a word of the request that no site could have, wherever it is made.

    Meant to be called before anything is looked for: the rest of a call depends on more than it.
    """
    names.shortname(request.shortname)
    parse_wwwroot(request.url)
    if request.name is not None:
        names.full_name(request.name)
    if request.table_prefix:
        names.table_prefix(request.table_prefix)
    if request.admin_user:
        names.admin_user(request.admin_user)
    if request.admin_email:
        names.email(request.admin_email)
    names.labels(request.labels)


def wanted_site(
    installation: Installation,
    request: SiteRequest,
    codebase: Codebase,
    server: DatabaseServer,
    *,
    table_prefix: str = "",
) -> WantedSite:
    """Check a request and complete it with the defaults.

    Raise InvalidInput for what cannot be, Conflict for what another site has.
    """
    defaults = installation.settings.sites
    shortname = names.shortname(request.shortname)
    address = parse_wwwroot(request.url)
    values: dict[str, Any] = {
        "shortname": shortname,
        "name": names.full_name(shortname if request.name is None else request.name),
        "wwwroot": address.wwwroot,
        "address_key": address.key,
        "codebase": codebase,
        "server": server,
        "table_prefix": names.table_prefix(
            request.table_prefix or table_prefix or defaults.table_prefix
        ),
        "dataroot": str(dataroot.path_for(installation, shortname)),
        "session_key": secrets.token_hex(4),
        "admin_user": names.admin_user(request.admin_user or defaults.admin_user),
        "admin_email": names.email(
            request.admin_email or defaults.admin_email or _email_at(address)
        ),
    }
    values["database"], values["account"] = names_for(shortname, defaults.database_prefix)
    sites.refuse_taken(values)
    return WantedSite(
        values, address, names.labels(request.labels), request.settings, request.suspended
    )


def reserve(
    installation: Installation,
    wanted: WantedSite,
    kind: str,
    *,
    password: Secret | None,
) -> Operation:
    """Reserve the site and queue the operation that makes it, or neither.

    The administrator's password is generated when none is given. Raise Conflict for what another
    site has by now, or when an operation holds the site.
    """
    shortname = wanted.values["shortname"]
    with transaction.atomic():
        operation = operations.submit(
            kind,
            site=shortname,
            parameters={"generated": password is None, "suspended": wanted.suspended}
            | wanted.parameters,
            node=installation.node,
            secret_encrypted=installation.encrypt(password or generate_password()),
            settings_encrypted=wanted.settings.encrypted(installation) if wanted.settings else "",
        )
        sites.reserve(
            wanted.values | {"password_encrypted": installation.encrypt(generate_password(32))},
            wanted.labels,
        )
    audit.record(kind, shortname, outcome="submitted", url=wanted.address.wwwroot)
    return operation


def _email_at(address: SiteAddress) -> str:
    return f"admin@{address.host}" if "." in address.host else "admin@example.com"
