"""The upgrade of one site as a durable operation, and what its run is told of how it ended."""

from __future__ import annotations

from vmoodle.lifecycle import interruption
from vmoodle.lifecycle.upgrade import cron, safety_copy, site, waves
from vmoodle.operations.plan import OperationKind, Step, StepContext
from vmoodle.registry import audit


def _release(context: StepContext) -> None:
    safety_copy.release(context)
    audit.record(waves.KIND, context.site, operation=context.operation_id)
    waves.site_done(context)


def _attention(context: StepContext) -> None:
    """Close the site, unless it is upgraded and visitors are there: it serves on."""
    if not site.serves_upgraded(context):
        interruption.attention(context)
    waves.site_needs_attention(context)


UPGRADE = OperationKind(
    waves.KIND,
    "upgrade a site",
    (
        Step("check", "look what stands in the way", site.check, waves.site_went_back),
        Step("prepare", "prepare the safety copy", safety_copy.prepare, safety_copy.drop_prepared),
        Step("tasks", "wait for tasks at work", cron.wait_for_tasks),
        Step("close", "answer 503 for the time being, without cron", site.close, site.open_again),
        Step("copy", "make the safety copy", safety_copy.make, safety_copy.drop),
        Step("code", "publish the new code for Moodle's scripts", site.to_new_code,
             site.to_old_code),
        Step("upgrade", "run Moodle's upgrade", site.upgrade, site.data_back),
        Step("open", "serve on the new code, and see that it does", site.open_upgraded,
             site.close_again),
        Step("release", "keep the safety copy for a while, or let it go", _release, None),
    ),
    when_reverted="The site is on the codebase and the data that it had before.",
    attention=_attention,
)  # fmt: skip
