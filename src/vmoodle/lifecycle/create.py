"""Create a site: from a checked request to a site that serves, or to nothing at all."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction

from vmoodle.engines.names import names_for
from vmoodle.errors import Failed
from vmoodle.hook.address import SiteAddress, parse_wwwroot
from vmoodle.installation import Installation
from vmoodle.lifecycle import dataroot, names, preflight, resources
from vmoodle.lifecycle.prove import prove
from vmoodle.lifecycle.publish import publish, withdraw
from vmoodle.moodle.install import install_site
from vmoodle.moodle.tree import MoodleTree
from vmoodle.operations.plan import OperationKind, Step, StepContext
from vmoodle.registry import audit, codebases, operations, servers, sites
from vmoodle.registry.models import Operation, Site
from vmoodle.secret import Secret, generate_password

KIND = "site.create"


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
    labels: list[str] = field(default_factory=list)


def submit(installation: Installation, request: SiteRequest) -> Operation:
    """Check the request, reserve the site and queue its creation.

    Nothing is changed when it raises: InvalidInput for what cannot be, Conflict for what is taken,
    Refused and Unavailable for what this machine, codebase or server does not allow.
    """
    shortname = names.shortname(request.shortname)
    address = parse_wwwroot(request.url)
    labels = names.labels(request.labels)
    codebase = codebases.chosen(request.codebase)
    server = servers.chosen(request.server)
    values: dict[str, Any] = {
        "shortname": shortname,
        "name": names.full_name(shortname if request.name is None else request.name),
        "wwwroot": address.wwwroot,
        "address_key": address.key,
        "codebase": codebase,
        "server": server,
        "table_prefix": installation.settings.sites.table_prefix,
        "dataroot": str(dataroot.path_for(installation, shortname)),
        "session_key": secrets.token_hex(4),
        "admin_user": names.admin_user(
            request.admin_user or installation.settings.sites.admin_user
        ),
        "admin_email": names.email(
            request.admin_email or installation.settings.sites.admin_email or _email_at(address)
        ),
    }
    values["database"], values["account"] = names_for(
        shortname, installation.settings.sites.database_prefix
    )
    sites.refuse_taken(values)
    preflight.check(installation, codebase, server, address, values)
    password = request.admin_password or generate_password()
    with transaction.atomic():
        operation = operations.submit(
            KIND,
            site=shortname,
            parameters={"generated": request.admin_password is None},
            node=installation.node,
            secret_encrypted=installation.encrypt(password),
        )
        sites.reserve(
            values | {"password_encrypted": installation.encrypt(generate_password(32))}, labels
        )
    audit.record("site.create", shortname, outcome="submitted", url=address.wwwroot)
    return operation


def _email_at(address: SiteAddress) -> str:
    return f"admin@{address.host}" if "." in address.host else "admin@example.com"


def _forget(context: StepContext) -> None:
    site = Site.objects.filter(shortname=context.site).first()
    if site is not None:
        sites.forget(site, leave_tombstone=False)


def _publish_deploying(context: StepContext) -> None:
    site = sites.find(context.site)
    sites.deploying(site)
    publish(context.installation, site)


def _withdraw(context: StepContext) -> None:
    site = sites.find(context.site)
    withdraw(context.installation, site, tombstone=sites.was_deleted(site.address_key))


def _install(context: StepContext) -> None:
    installation, site = context.installation, sites.find(context.site)
    engine, database = installation.engine(site.server), installation.site_database(site)
    if engine.tables(database):
        context.say("a half-made installation is cleared first")
        engine.reset_database(database)
        dataroot.clear(installation, site)
    operation = Operation.objects.get(id=context.operation_id)
    install_site(
        MoodleTree.open(site.codebase.path),
        installation.php,
        site=site.shortname,
        name=site.name,
        shortname=site.shortname,
        language=installation.settings.sites.language,
        admin_user=site.admin_user,
        admin_email=site.admin_email,
        admin_password=installation.keyring.decrypt(operation.secret_encrypted),
        timeout=installation.settings.php.script_timeout,
        tell=context.say,
    )


def _go_live(context: StepContext) -> None:
    site = sites.find(context.site)
    sites.enabled(site)
    publish(context.installation, site)


def _back_to_deploying(context: StepContext) -> None:
    site = sites.find(context.site)
    sites.deploying(site)
    publish(context.installation, site)


def _prove(context: StepContext) -> None:
    site = sites.find(context.site)
    answer = prove(context.installation, site)
    context.say(answer.summary())
    context.keep({"wwwroot": site.wwwroot, "title": answer.title})


def _finish(context: StepContext) -> None:
    if not context.parameters.get("generated"):
        operations.take_secret(context.operation_id)
    sites.address_used_again(sites.find(context.site).address_key)
    audit.record("site.create", context.site, operation=context.operation_id)


def _attention(context: StepContext) -> None:
    site = Site.objects.filter(shortname=context.site).first()
    if site is not None:
        sites.needs_attention(site, f"operation {context.operation_id} could not be taken back")
        publish(context.installation, site)


def _reserved(context: StepContext) -> None:
    if not Site.objects.filter(shortname=context.site).exists():
        raise Failed("site.gone", "The reserved site is gone from the registry.", "Create it anew.")


CREATE = OperationKind(
    KIND,
    "create a site",
    (
        Step("reserve", "reserve names", _reserved, _forget),
        Step(
            "account", "create the database account", resources.make_account, resources.drop_account
        ),
        Step("database", "create the database", resources.make_database, resources.drop_database),
        Step("dataroot", "create moodledata", dataroot.make, dataroot.destroy),
        Step("announce", "publish the address as being deployed", _publish_deploying, _withdraw),
        Step("install", "run Moodle's installer", _install),
        Step("publish", "publish the site", _go_live, _back_to_deploying),
        Step("prove", "request the front page", _prove),
        Step("finish", "write the audit trail", _finish),
    ),
    when_reverted="Nothing was left behind.",
    attention=_attention,
)
