"""The registry's tables of cron: how each site stands, and its runs. Times are Unix's."""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class CronSite(models.Model):
    """How the cron of one site stands, and who runs it: `registry/cron.py` changes it."""

    site = models.OneToOneField(
        "registry.Site", on_delete=models.CASCADE, primary_key=True, related_name="cron"
    )
    since = models.FloatField()
    tier = models.CharField(max_length=20, blank=True, default="")
    looked = models.FloatField(null=True)
    served = models.FloatField(null=True)
    started = models.FloatField(null=True)
    whole = models.FloatField(null=True)
    complete = models.FloatField(null=True)
    ended = models.FloatField(null=True)
    seconds = models.FloatField(default=0)
    due = models.PositiveIntegerField(default=0)
    adhoc = models.PositiveIntegerField(default=0)
    oldest = models.FloatField(null=True)
    fail_delays = models.PositiveIntegerField(default=0)
    obstacle = models.CharField(max_length=300, blank=True, default="")
    failures = models.PositiveIntegerField(default=0)
    not_before = models.FloatField(default=0)
    error = models.CharField(max_length=300, blank=True, default="")
    runs = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)
    parked = models.JSONField(default=list)
    parked_at = models.FloatField(null=True)
    parked_under = models.CharField(max_length=100, blank=True, default="")
    signature = models.CharField(max_length=100, blank=True, default="")
    worst = models.FloatField(default=0)
    worst_at = models.FloatField(default=0)
    # The run that holds the site, empty for none; the process that watches it, and its heartbeat.
    run_id = models.CharField(max_length=12, blank=True, default="")
    holder = models.CharField(max_length=80, blank=True, default="")
    node = models.CharField(max_length=100, blank=True, default="")
    beat = models.PositiveIntegerField(default=0)
    stop_requested = models.BooleanField(default=False)

    class Meta:
        indexes: ClassVar = [
            models.Index(
                fields=["run_id"], condition=~models.Q(run_id=""), name="cron_site_running"
            )
        ]


class CronRun(models.Model):
    """One run of a site's cron. It outlives the site, which is why it has no foreign key to it."""

    id = models.CharField(max_length=12, primary_key=True)
    site_id = models.BigIntegerField()
    shortname = models.CharField(max_length=40)
    node = models.CharField(max_length=100)
    strategy = models.CharField(max_length=20)
    tier = models.CharField(max_length=20)
    script = models.CharField(max_length=60)
    due = models.PositiveIntegerField(default=0)
    adhoc = models.PositiveIntegerField(default=0)
    # For how many seconds the site had waited when it began.
    waited = models.FloatField()
    started = models.FloatField()
    seconds = models.FloatField(null=True)
    # Empty while it is under way.
    outcome = models.CharField(max_length=10, blank=True, default="")
    status = models.IntegerField(null=True)
    error = models.CharField(max_length=300, blank=True, default="")
    output_bytes = models.BigIntegerField(default=0)

    class Meta:
        indexes: ClassVar = [
            models.Index(fields=["site_id", "started"], name="cron_run_site"),
            models.Index(fields=["started"], name="cron_run_started"),
        ]
