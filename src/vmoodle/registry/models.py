"""The registry's tables. Rows are changed by the modules beside this one, never field by field."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q

# Django looks for all tables here.
from vmoodle.registry import (  # noqa: F401
    cron_models,
    fleet_models,
    rehearsal_models,
    upgrade_models,
)


def state_words(state: str) -> str:
    """Return the state of a site, template or operation as a sentence goes on: `is enabled`."""
    return state if state == "needs attention" else f"is {state}"


class Codebase(models.Model):
    """A Moodle code tree on disk at one version."""

    name = models.CharField(max_length=60, unique=True)
    path = models.CharField(max_length=500, unique=True)
    layout = models.CharField(max_length=10)
    version = models.CharField(max_length=20)
    release = models.CharField(max_length=100)
    branch = models.CharField(max_length=10)
    immutable = models.BooleanField(default=False)
    component_cache = models.CharField(max_length=500, blank=True, default="")
    own_copy = models.BooleanField(default=False)
    set_aside = models.CharField(max_length=500, blank=True, default="")
    created_at = models.DateTimeField(auto_now_add=True)


class DatabaseServer(models.Model):
    """A database server with an account that may create databases and accounts."""

    name = models.CharField(max_length=60, unique=True)
    engine = models.CharField(max_length=20)
    embedded = models.BooleanField(default=False)
    address = models.CharField(max_length=500)
    url_encrypted = models.TextField(blank=True, default="")
    flavour = models.CharField(max_length=20)
    version = models.CharField(max_length=60)
    created_at = models.DateTimeField(auto_now_add=True)


class SiteState(models.TextChoices):
    """The states of a site; each change is one named function of `registry/sites.py`."""

    DEPLOYING = "deploying"
    ENABLED = "enabled"
    SUSPENDED = "suspended"
    DELETED = "deleted"
    DELETING = "deleting"
    ATTENTION = "needs attention"


class Site(models.Model):
    """One virtual Moodle."""

    shortname = models.CharField(max_length=40, unique=True)
    name = models.CharField(max_length=254)
    wwwroot = models.CharField(max_length=255, unique=True)
    address_key = models.CharField(max_length=255, unique=True)
    codebase = models.ForeignKey(Codebase, on_delete=models.PROTECT, related_name="sites")
    server = models.ForeignKey(DatabaseServer, on_delete=models.PROTECT, related_name="sites")
    # VMoodle's own names are shorter; an adopted site's are as long as any server takes.
    database = models.CharField(max_length=80)
    account = models.CharField(max_length=80)
    password_encrypted = models.TextField()
    table_prefix = models.CharField(max_length=10)
    dataroot = models.CharField(max_length=500, unique=True)
    session_key = models.CharField(max_length=16, unique=True)
    state = models.CharField(max_length=20, choices=SiteState.choices)
    state_reason = models.CharField(max_length=500, blank=True, default="")
    admin_user = models.CharField(max_length=100)
    admin_email = models.CharField(max_length=100)
    # It was there before VMoodle: the ledger does not have what it consists of, unless it was
    # handed over. Its account may be other sites' too.
    adopted = models.BooleanField(default=False)
    purge_after = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)
    changed_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["server", "database"], name="site_database_unique"),
            models.UniqueConstraint(
                fields=["server", "account"],
                condition=Q(adopted=False),
                name="site_account_unique",
            ),
        ]


class SiteLabel(models.Model):
    """A `key=value` an administrator put on a site."""

    site = models.ForeignKey(Site, on_delete=models.CASCADE, related_name="labels")
    key = models.CharField(max_length=60)
    value = models.CharField(max_length=200)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["site", "key"], name="site_label_unique")
        ]


class SiteAlias(models.Model):
    """A further host that redirects to a site's own wwwroot."""

    site = models.ForeignKey(Site, on_delete=models.CASCADE, related_name="aliases")
    host = models.CharField(max_length=200, unique=True)


class DeletedAddress(models.Model):
    """An address that a deleted site had: it answers 410 until somebody uses it again."""

    address_key = models.CharField(max_length=255, unique=True)
    shortname = models.CharField(max_length=40)
    deleted_at = models.DateTimeField(auto_now_add=True)


class ForcedSetting(models.Model):
    """A `$CFG` or plugin setting forced on the fleet, on the sites with a label, or on one site."""

    site = models.ForeignKey(
        Site, on_delete=models.CASCADE, related_name="forced_settings", null=True
    )
    label_key = models.CharField(max_length=60, blank=True, default="")
    label_value = models.CharField(max_length=200, blank=True, default="")
    component = models.CharField(max_length=100, blank=True, default="")
    name = models.CharField(max_length=100)
    value = models.JSONField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["site", "component", "name"],
                condition=Q(site__isnull=False),
                name="forced_site_unique",
            ),
            models.UniqueConstraint(
                fields=["label_key", "label_value", "component", "name"],
                condition=Q(site__isnull=True),
                name="forced_shared_unique",
            ),
        ]


class TemplateState(models.TextChoices):
    """The states of a template; each change is one function of `registry/templates.py`."""

    MAKING = "making"
    READY = "ready"
    DELETING = "deleting"
    ATTENTION = "needs attention"


class Template(models.Model):
    """A frozen, identity-free copy of a site from which sites are made.

    `wwwroot` is the address that stands in its content for the address of the site to be made.
    `revision` counts how often what it holds was replaced.
    """

    name = models.CharField(max_length=40, unique=True)
    state = models.CharField(max_length=20, choices=TemplateState.choices)
    state_reason = models.CharField(max_length=500, blank=True, default="")
    source = models.CharField(max_length=40)
    # Of `source`, where it was captured from this and not from the site as it stands.
    snapshot = models.CharField(max_length=120, blank=True, default="")
    people = models.BooleanField(default=False)
    note = models.CharField(max_length=500, blank=True, default="")
    revision = models.PositiveIntegerField(default=1)
    keep_warm = models.PositiveIntegerField(default=0)
    moodle_version = models.CharField(max_length=20)
    moodle_release = models.CharField(max_length=100)
    versions_hash = models.CharField(max_length=40)
    wwwroot = models.CharField(max_length=255)
    content_urls = models.PositiveIntegerField(default=0)
    # How many cells still have the address of what it was captured from.
    content_left = models.PositiveIntegerField(default=0)
    server = models.ForeignKey(DatabaseServer, on_delete=models.PROTECT, related_name="templates")
    database = models.CharField(max_length=63)
    account = models.CharField(max_length=32)
    password_encrypted = models.TextField()
    table_prefix = models.CharField(max_length=10)
    directory = models.CharField(max_length=500, unique=True)
    database_bytes = models.BigIntegerField(default=0)
    files_bytes = models.BigIntegerField(default=0)
    files_count = models.PositiveIntegerField(default=0)
    actor = models.CharField(max_length=100)
    created_at = models.DateTimeField(auto_now_add=True)
    refreshed_at = models.DateTimeField(null=True)


class WarmCopyState(models.TextChoices):
    """The states of a warm copy."""

    MAKING = "making"
    READY = "ready"
    DROPPING = "dropping"


class WarmCopy(models.Model):
    """A copy of a template that waits for a site; who claims it takes its database as it is."""

    id = models.CharField(max_length=12, primary_key=True)
    template = models.ForeignKey(Template, on_delete=models.PROTECT, related_name="warm_copies")
    revision = models.PositiveIntegerField()
    state = models.CharField(max_length=20, choices=WarmCopyState.choices)
    # Its own: the template may be captured anew from a site on another server.
    server = models.ForeignKey(DatabaseServer, on_delete=models.PROTECT, related_name="warm_copies")
    table_prefix = models.CharField(max_length=10)
    database = models.CharField(max_length=63)
    account = models.CharField(max_length=32)
    password_encrypted = models.TextField()
    directory = models.CharField(max_length=500, unique=True)
    created_at = models.DateTimeField(auto_now_add=True)


class SnapshotState(models.TextChoices):
    """The states of a snapshot; each change is one function of `registry/snapshots.py`."""

    MAKING = "making"
    READY = "ready"
    ATTENTION = "needs attention"


class Snapshot(models.Model):
    """A dated copy of one site in a store; its manifest says all, this row finds it."""

    id = models.CharField(max_length=120, primary_key=True)
    state = models.CharField(max_length=20, choices=SnapshotState.choices)
    site_shortname = models.CharField(max_length=40)
    wwwroot = models.CharField(max_length=255)
    reason = models.CharField(max_length=20)
    note = models.CharField(max_length=500, blank=True, default="")
    pinned = models.BooleanField(default=False)
    # Empty where a person pinned it; else what lets go of it again.
    pinned_until = models.CharField(max_length=20, blank=True, default="")
    moodle_version = models.CharField(max_length=20, blank=True, default="")
    moodle_release = models.CharField(max_length=100, blank=True, default="")
    flavour = models.CharField(max_length=20, blank=True, default="")
    database_bytes = models.BigIntegerField(default=0)
    files_bytes = models.BigIntegerField(default=0)
    files_count = models.PositiveIntegerField(default=0)
    missing_files = models.PositiveIntegerField(default=0)
    actor = models.CharField(max_length=100)
    created_at = models.DateTimeField(auto_now_add=True)
    verified_at = models.DateTimeField(null=True)
    verified_ok = models.BooleanField(null=True)
    drilled_at = models.DateTimeField(null=True)
    drilled_ok = models.BooleanField(null=True)
    drill_fault = models.CharField(max_length=500, blank=True, default="")


class Schedule(models.Model):
    """What is done again and again: when it was last due, and the operation that did it.

    `since` is the moment from which `expression` counts: no time before it is due.
    """

    name = models.CharField(max_length=40, primary_key=True)
    expression = models.CharField(max_length=200, blank=True, default="")
    since = models.DateTimeField()
    due_at = models.DateTimeField(null=True)
    operation_id = models.CharField(max_length=32, blank=True, default="")


class OperationState(models.TextChoices):
    """The states of an operation; `registry/operations.py` is where they change."""

    QUEUED = "queued"
    RUNNING = "running"
    REVERTING = "reverting"
    DONE = "done"
    REVERTED = "reverted"
    CANCELLED = "cancelled"
    ATTENTION = "needs attention"


ACTIVE_STATES = (OperationState.QUEUED, OperationState.RUNNING, OperationState.REVERTING)
# While one of these holds a site, no other operation may write it.
HOLDING_STATES = (*ACTIVE_STATES, OperationState.ATTENTION)


class Operation(models.Model):
    """One durable piece of work. Its parameters hold names and ids, never a secret.

    `subject` is what it holds: a site's shortname, `template:NAME`, `drill:SNAPSHOT`,
    `rehearsal:SITE`, `schedule:NAME` or `run:ID`.
    """

    id = models.CharField(max_length=32, primary_key=True)
    kind = models.CharField(max_length=40)
    subject = models.CharField(max_length=80, blank=True, default="")
    parameters = models.JSONField(default=dict)
    secret_encrypted = models.TextField(blank=True, default="")
    # What a new site's settings are to be: they may hold passwords. Empty once it has ended.
    settings_encrypted = models.TextField(blank=True, default="")
    actor = models.CharField(max_length=100)
    node = models.CharField(max_length=100)
    state = models.CharField(max_length=20, choices=OperationState.choices)
    attempt = models.PositiveIntegerField(default=1)
    backwards = models.BooleanField(default=False)
    step = models.CharField(max_length=60, blank=True, default="")
    steps_done = models.PositiveIntegerField(default=0)
    # How many steps, from the first, any attempt has begun. It never becomes less: the undo and
    # whether a cancel still comes in time go by it, while `step` is the present attempt's.
    steps_entered = models.PositiveIntegerField(default=0)
    steps_total = models.PositiveIntegerField(default=0)
    cancel_requested = models.BooleanField(default=False)
    result = models.JSONField(default=dict)
    error_code = models.CharField(max_length=60, blank=True, default="")
    error_message = models.TextField(blank=True, default="")
    error_hint = models.TextField(blank=True, default="")
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["subject"],
                condition=Q(state__in=HOLDING_STATES) & ~Q(subject=""),
                name="operation_one_per_site",
            )
        ]


class OperationEvent(models.Model):
    """A line of an operation's log."""

    operation = models.ForeignKey(Operation, on_delete=models.CASCADE, related_name="events")
    at = models.DateTimeField(auto_now_add=True)
    step = models.CharField(max_length=60, blank=True, default="")
    level = models.CharField(max_length=10)
    message = models.TextField()


class LedgerEntry(models.Model):
    """A resource VMoodle made, written down before it was made, and the operation that made it.

    `owner` is a site's shortname, `template:NAME`, `warm:ID` or `drill:SNAPSHOT`.
    """

    kind = models.CharField(max_length=20)
    place = models.CharField(max_length=60, blank=True, default="")
    name = models.CharField(max_length=500)
    owner = models.CharField(max_length=80, blank=True, default="")
    operation_id = models.CharField(max_length=32)
    made = models.BooleanField(default=False)
    written_at = models.DateTimeField(auto_now_add=True)
    made_at = models.DateTimeField(null=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["kind", "place", "name"], name="ledger_unique")
        ]


class AuditEvent(models.Model):
    """Who did what to what, and how it ended. Appended, never changed."""

    at = models.DateTimeField(auto_now_add=True)
    actor = models.CharField(max_length=100)
    action = models.CharField(max_length=60)
    subject = models.CharField(max_length=200)
    detail = models.JSONField(default=dict)
    outcome = models.CharField(max_length=20)
