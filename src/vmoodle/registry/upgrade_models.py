"""The registry's tables of upgrades in waves: the run, and what became of each of its sites."""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class UpgradeState(models.TextChoices):
    """The states of an upgrade run; each change is one function of `registry/upgrades.py`."""

    RUNNING = "running"
    PAUSED = "paused"
    HALTED = "halted"
    """By its own stop rule."""
    DONE = "done"
    CANCELLED = "cancelled"


class Upgrade(models.Model):
    """Many sites brought to one codebase in waves.

    `wave` is the one that was begun last, and `next_wave_at` when the next one may begin.
    `forgiven` is how many failures somebody has seen and gone on after.
    """

    id = models.CharField(max_length=12, primary_key=True)
    codebase = models.CharField(max_length=60)
    # What the tree's versions came to when it was ordered: another tree is another upgrade.
    versions_hash = models.CharField(max_length=40)
    target = models.TextField()
    in_parallel = models.PositiveIntegerField()
    pause_seconds = models.PositiveIntegerField(default=0)
    stop_after = models.PositiveIntegerField()
    # Of one site; 0 is no limit.
    most_downtime = models.FloatField(default=0)
    # Of what a rehearsal took; 0 is no limit.
    most_factor = models.FloatField(default=0)
    timeout = models.FloatField()
    # Codes of blockers that are none here.
    accept = models.JSONField(default=list)
    wave = models.PositiveIntegerField(default=0)
    next_wave_at = models.DateTimeField(null=True)
    forgiven = models.PositiveIntegerField(default=0)
    state = models.CharField(max_length=20, choices=UpgradeState.choices)
    reason = models.CharField(max_length=500, blank=True, default="")
    actor = models.CharField(max_length=100)
    node = models.CharField(max_length=100)
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True)


class UpgradeCopy(models.Model):
    """What a site was before its last upgrade, for as long as it is kept: the way back.

    `upgraded_to` and `wwwroot` are what the site was left with: moved since, it cannot go back.
    """

    site = models.OneToOneField(
        "registry.Site", on_delete=models.CASCADE, related_name="upgrade_copy"
    )
    operation_id = models.CharField(max_length=32)
    database = models.CharField(max_length=80)
    codebase = models.CharField(max_length=60)
    upgraded_to = models.CharField(max_length=60)
    wwwroot = models.CharField(max_length=255)
    created_at = models.DateTimeField(auto_now_add=True)
    until = models.DateTimeField(db_index=True)
    # It is being dropped.
    ending = models.BooleanField(default=False)


class UpgradeSiteState(models.TextChoices):
    """What became of an upgrade on one site."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    """It is back on the codebase and the data it had, or was not touched."""
    ATTENTION = "needs attention"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"


class UpgradeSite(models.Model):
    """One site of an upgrade run. It outlives the site, which is why it has no foreign key to it.

    `slow` says that it was closed, or upgraded, for longer than the run allows. `expected_ms` is
    what a rehearsal lets expect of its upgrade.
    """

    upgrade = models.ForeignKey(Upgrade, on_delete=models.CASCADE, related_name="sites")
    shortname = models.CharField(max_length=40)
    # The site's session key, which is its own for all its life: another of the name is another.
    site_key = models.CharField(max_length=16, blank=True, default="")
    wave = models.PositiveIntegerField()
    position = models.PositiveIntegerField()
    source = models.CharField(max_length=60)
    source_version = models.CharField(max_length=20)
    # What all versions of the site came to when its upgrade began; empty before.
    source_hash = models.CharField(max_length=40, blank=True, default="")
    # That of the run again, so that an earlier failure is found by one index.
    versions_hash = models.CharField(max_length=40)
    state = models.CharField(max_length=20, choices=UpgradeSiteState.choices)
    operation_id = models.CharField(max_length=32, blank=True, default="")
    slow = models.BooleanField(default=False)
    downtime_ms = models.PositiveIntegerField(null=True)
    upgrade_ms = models.PositiveIntegerField(null=True)
    expected_ms = models.PositiveIntegerField(null=True)
    error_code = models.CharField(max_length=60, blank=True, default="")
    error_message = models.TextField(blank=True, default="")
    error_hint = models.TextField(blank=True, default="")

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["upgrade", "shortname"], name="upgrade_site_unique")
        ]
        indexes: ClassVar = [
            models.Index(fields=["site_key", "versions_hash"], name="upgrade_site_tried")
        ]
