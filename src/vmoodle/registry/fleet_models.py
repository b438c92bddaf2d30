"""The registry's tables of commands on many sites: selections, SQL, and runs."""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class TargetGroup(models.Model):
    """A saved selection of sites: an expression under a name."""

    name = models.CharField(max_length=40, unique=True)
    expression = models.TextField()
    note = models.CharField(max_length=500, blank=True, default="")
    actor = models.CharField(max_length=100)
    changed_at = models.DateTimeField(auto_now=True)


class SavedQuery(models.Model):
    """SQL under a name."""

    name = models.CharField(max_length=40, unique=True)
    sql = models.TextField()
    dialect = models.CharField(max_length=20, blank=True, default="")
    note = models.CharField(max_length=500, blank=True, default="")
    actor = models.CharField(max_length=100)
    changed_at = models.DateTimeField(auto_now=True)


class RunState(models.TextChoices):
    """The states of a run; each change is one function of `registry/runs.py`."""

    RUNNING = "running"
    DONE = "done"
    CANCELLED = "cancelled"


class Run(models.Model):
    """One command on many sites: what, by whom, where, and what came of it.

    `operation_id` is empty for one that a process does by itself. `process` names the one that
    does it; of an operation the latest executor, empty before the first.
    """

    id = models.CharField(max_length=12, primary_key=True)
    command = models.CharField(max_length=70)
    effect = models.CharField(max_length=20)
    dry = models.BooleanField(default=False)
    # Secrets among them are masked; in clear they are kept, encrypted, until the run has ended.
    parameters = models.JSONField(default=dict)
    secret_encrypted = models.TextField(blank=True, default="")
    target = models.TextField()
    timeout = models.FloatField()
    again_of = models.CharField(max_length=12, blank=True, default="")
    undo_of = models.CharField(max_length=12, blank=True, default="")
    actor = models.CharField(max_length=100)
    node = models.CharField(max_length=100)
    process = models.CharField(max_length=80, blank=True, default="")
    operation_id = models.CharField(max_length=32, blank=True, default="")
    state = models.CharField(max_length=20, choices=RunState.choices)
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        indexes: ClassVar = [
            models.Index(fields=["created_at"], name="run_created_at"),
            # Few are under way, and few take another one back.
            models.Index(fields=["state"], condition=models.Q(state="running"), name="run_running"),
            models.Index(fields=["undo_of"], condition=~models.Q(undo_of=""), name="run_undo_of"),
        ]


class RunSiteState(models.TextChoices):
    """What became of a run on one site."""

    WAITING = "waiting"
    BEGUN = "begun"
    OK = "ok"
    FAILED = "failed"
    TIMEOUT = "timeout"
    UNKNOWN = "unknown"
    """Whether the change was made is not known; it is never made again by itself."""
    CANCELLED = "cancelled"


class RunSite(models.Model):
    """One site of a run. It outlives the site, which is why it has no foreign key to it."""

    # Its own index would be one too many: each of those below that begin with it will do.
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="sites", db_index=False)
    site_id = models.BigIntegerField()
    shortname = models.CharField(max_length=40)
    state = models.CharField(max_length=10, choices=RunSiteState.choices)
    duration_ms = models.PositiveIntegerField(null=True)
    result = models.BinaryField(null=True)
    # What takes the change back: it has what the site had before, secrets maybe.
    undo_encrypted = models.TextField(blank=True, default="")
    error_code = models.CharField(max_length=60, blank=True, default="")
    error_message = models.TextField(blank=True, default="")
    error_hint = models.TextField(blank=True, default="")

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["run", "shortname"], name="run_site_unique")
        ]
        indexes: ClassVar = [
            models.Index(fields=["run", "state"], name="run_site_state"),
            models.Index(fields=["site_id", "run"], name="run_site_id_run"),
            models.Index(fields=["shortname"], name="run_site_shortname"),
        ]
