"""Templates in the registry, their warm copies, and every change of their state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.utils import timezone

from vmoodle.errors import Conflict, NotFound
from vmoodle.near import near
from vmoodle.registry.audit import current_actor
from vmoodle.registry.models import (
    DatabaseServer,
    LedgerEntry,
    Operation,
    Site,
    Template,
    TemplateState,
    WarmCopy,
    WarmCopyState,
)
from vmoodle.registry.source_names import parse_source

IMPORTED = "(archive)"
"""What stands for its source in a template that was imported; no site has such a shortname."""


def subject(name: str) -> str:
    """Return what an operation on the template holds, and who owns its resources."""
    return f"template:{name}"


def named_by(subject: str) -> str:
    """Return the name of the template that an operation's subject is."""
    return subject.partition(":")[2]


def warm_owner(copy_id: str) -> str:
    """Return who owns a warm copy's resources."""
    return f"warm:{copy_id}"


def every() -> list[Template]:
    """Return all templates by name."""
    return list(Template.objects.select_related("server").order_by("name"))


def find(name: str) -> Template:
    """Return the template of a name; raise NotFound naming the nearest."""
    row = Template.objects.select_related("server").filter(name=name).first()
    if row is None:
        names = Template.objects.values_list("name", flat=True)
        raise NotFound(
            "template.unknown",
            f"There is no template {name!r}.",
            near(name, names, "`vmoodle template list` shows them."),
        )
    return row


def usable(name: str) -> Template:
    """Return a template that is ready to make sites from; raise NotFound, Conflict."""
    row = find(name)
    if row.state != TemplateState.READY:
        raise Conflict(
            "template.state",
            f"The template {name} is not ready: {row.state_reason or row.state}.",
            f"`vmoodle template show {name}` tells more.",
        )
    return row


def refuse_taken(name: str) -> None:
    """Raise Conflict when a template has the name."""
    if Template.objects.filter(name=name).exists():
        raise Conflict(
            "template.taken",
            f"There is a template {name} already.",
            f"Choose another name, or `vmoodle template delete {name}` first.",
        )


def reserve(values: Mapping[str, Any]) -> Template:
    """Create the row of a template that is about to be made; raise Conflict for a taken name."""
    refuse_taken(values["name"])
    return Template.objects.create(state=TemplateState.MAKING, actor=current_actor(), **values)


def measured(name: str, facts: Mapping[str, Any]) -> None:
    """Write down what the template holds by now."""
    Template.objects.filter(name=name).update(**facts)


def ready(name: str) -> None:
    """The template can be used from now on."""
    Template.objects.filter(name=name).update(
        state=TemplateState.READY, state_reason="", refreshed_at=timezone.now()
    )


def needs_attention(name: str, reason: str) -> None:
    """An operation on the template stopped half-way; a person must choose."""
    Template.objects.filter(name=name).update(
        state=TemplateState.ATTENTION, state_reason=reason[:500]
    )


def exchanged(name: str, operation_id: str) -> None:
    """Give the template what an operation made for it, as a new revision; again is no change.

    What it held before is kept in the operation's result, for the operation to drop.
    """
    with transaction.atomic():
        operation = Operation.objects.select_for_update().get(id=operation_id)
        if "before" in operation.result:
            return
        template = Template.objects.select_related("server").get(name=name)
        before = {
            "server": template.server.name,
            "database": template.database,
            "account": template.account,
            "prefix": template.table_prefix,
            "directory": template.directory,
        }
        made, measured_facts = operation.parameters, operation.result
        Template.objects.filter(id=template.id).update(
            source=made.get("captured") or parse_source(made["source"])[1],
            # What was upgraded is still the snapshot's; a refresh captures a site.
            snapshot=template.snapshot if made.get("captured") else "",
            server=DatabaseServer.objects.get(name=made["server"]),
            database=made["database"],
            account=made["database"],
            password_encrypted=operation.secret_encrypted,
            table_prefix=made["prefix"],
            directory=made["directory"],
            moodle_version=made["moodle_version"],
            moodle_release=made["moodle_release"],
            versions_hash=made["versions_hash"],
            revision=template.revision + 1,
            refreshed_at=timezone.now(),
            # An older release did not count them.
            content_left=measured_facts.get("content_left", 0),
            **{
                key: measured_facts[key]
                for key in ("content_urls", "database_bytes", "files_count", "files_bytes")
            },
        )
        operation.result = {**operation.result, "before": before}
        operation.save(update_fields=["result"])


def deleting(name: str) -> None:
    """The template is being taken apart; no site is made from it any more."""
    Template.objects.filter(name=name).update(state=TemplateState.DELETING)


def back_to(name: str, state: TemplateState) -> None:
    """The template is again what it was before an operation."""
    Template.objects.filter(name=name).update(state=state)


def forget(name: str) -> None:
    """Remove the template's row."""
    Template.objects.filter(name=name).delete()


def kept_warm(name: str, count: int) -> None:
    """So many copies of the template are to wait from now on."""
    Template.objects.filter(name=name).update(keep_warm=count)


def copies(template: Template) -> list[WarmCopy]:
    """Return the warm copies of a template, oldest first."""
    return list(WarmCopy.objects.filter(template=template).order_by("created_at"))


def add_copy(template: Template, copy_id: str, values: Mapping[str, Any]) -> WarmCopy:
    """Create the row of a warm copy that is about to be made; again is no change."""
    row, _created = WarmCopy.objects.get_or_create(
        id=copy_id,
        defaults={
            "template": template,
            "revision": template.revision,
            "state": WarmCopyState.MAKING,
            "server": template.server,
            "table_prefix": template.table_prefix,
            **values,
        },
    )
    return row


def copy_ready(copy_id: str) -> None:
    """The warm copy can be claimed from now on."""
    WarmCopy.objects.filter(id=copy_id).update(state=WarmCopyState.READY)


def retire_copy(copy_id: str) -> bool:
    """Let nobody claim the copy from now on, before it is dropped; False when somebody has."""
    return bool(WarmCopy.objects.filter(id=copy_id).update(state=WarmCopyState.DROPPING))


def forget_copy(copy_id: str) -> None:
    """Remove a warm copy's row."""
    WarmCopy.objects.filter(id=copy_id).delete()


def claim(template: Template, shortname: str, operation_id: str) -> str | None:
    """Give a site the database, account and directory of a ready copy; all of it or nothing.

    Return the directory the copy had, None when no copy of the template's revision waits. What an
    operation has claimed once it is not given twice.
    """
    with transaction.atomic():
        operation = Operation.objects.select_for_update().get(id=operation_id)
        if "claimed" in operation.result:
            return str(operation.result["claimed"])
        copy = (
            WarmCopy.objects.select_for_update(skip_locked=True)
            .filter(template=template, revision=template.revision, state=WarmCopyState.READY)
            .order_by("created_at")
            .first()
        )
        if copy is None:
            return None
        Site.objects.filter(shortname=shortname).update(
            database=copy.database,
            account=copy.account,
            password_encrypted=copy.password_encrypted,
        )
        LedgerEntry.objects.filter(owner=warm_owner(copy.id)).update(
            owner=shortname, operation_id=operation_id
        )
        operation.result = {**operation.result, "claimed": copy.directory}
        operation.save(update_fields=["result"])
        copy.delete()
        return copy.directory


def facts(template: Template) -> dict[str, Any]:
    """Return what an administrator sees of a template."""
    waiting = [
        copy
        for copy in copies(template)
        if copy.state == WarmCopyState.READY and copy.revision == template.revision
    ]
    return {
        "name": template.name,
        "state": template.state,
        "reason": template.state_reason,
        "source": template.source,
        "snapshot": template.snapshot,
        "moodle": template.moodle_release,
        "server": template.server.name,
        "engine": template.server.engine,
        "database": template.database,
        "prefix": template.table_prefix,
        "directory": template.directory,
        "people": template.people,
        "database_bytes": template.database_bytes,
        "files_bytes": template.files_bytes,
        "files": template.files_count,
        "content_left": template.content_left,
        "warm": len(waiting),
        "keep_warm": template.keep_warm,
        "actor": template.actor,
        "created": template.created_at,
        "refreshed": template.refreshed_at,
        "revision": template.revision,
        "note": template.note,
    }
