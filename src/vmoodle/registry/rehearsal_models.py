"""The registry's table of rehearsals: what became of an upgrade tried on a copy of a site."""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class RehearsalState(models.TextChoices):
    """The states of a rehearsal; each change is one function of `registry/rehearsals.py`."""

    RUNNING = "running"
    PASSED = "passed"
    FAILED = "failed"
    """The upgrade did not go well on the copy: it would not on the site."""
    BROKEN_OFF = "broken off"
    """Something else was in the way: nothing is said of the upgrade."""
    CANCELLED = "cancelled"


class Rehearsal(models.Model):
    """One upgrade tried on a copy of a site. It outlives the site, and has no foreign key to it.

    `source_hash` and `target_hash` are what Moodle calls allversionshash, of the site and of the
    code tree: the same two are the same path, with the same plugins. Durations are in milliseconds.
    """

    id = models.CharField(max_length=12, primary_key=True)
    shortname = models.CharField(max_length=40)
    # The site's session key, which is its own for all its life: another of the name is another.
    site_key = models.CharField(max_length=16)
    codebase = models.CharField(max_length=60)
    operation_id = models.CharField(max_length=32)
    source_hash = models.CharField(max_length=40)
    target_hash = models.CharField(max_length=40)
    source_release = models.CharField(max_length=100)
    target_release = models.CharField(max_length=100)
    engine = models.CharField(max_length=20)
    # Of the site's database, as the server said when the rehearsal was ordered.
    database_bytes = models.BigIntegerField(default=0)
    # Of the copy, before it was upgraded.
    rows = models.BigIntegerField(default=0)
    copy_ms = models.PositiveIntegerField(null=True)
    upgrade_ms = models.PositiveIntegerField(null=True)
    # Of the operation's steps by their names, and of the components that Moodle named, in order.
    steps = models.JSONField(default=dict)
    components = models.JSONField(default=list)
    # By a table's name without the prefix: what of it changed, its rows before and after.
    touched = models.JSONField(default=dict)
    # What Moodle's checks ended with.
    checks = models.PositiveIntegerField(null=True)
    failed_step = models.CharField(max_length=60, blank=True, default="")
    failed_component = models.CharField(max_length=100, blank=True, default="")
    error_code = models.CharField(max_length=60, blank=True, default="")
    error_message = models.TextField(blank=True, default="")
    error_hint = models.TextField(blank=True, default="")
    state = models.CharField(max_length=20, choices=RehearsalState.choices)
    actor = models.CharField(max_length=100)
    node = models.CharField(max_length=100)
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        indexes: ClassVar = [
            models.Index(fields=["target_hash", "source_hash"], name="rehearsal_path")
        ]
