"""The upgrade of one site as a durable operation, and what its run is told of how it ended."""

from __future__ import annotations

from vmoodle.errors import VMoodleError
from vmoodle.lifecycle import interruption
from vmoodle.lifecycle.upgrade import cron, site, waves
from vmoodle.operations.plan import OperationKind, Step, StepContext
from vmoodle.registry import audit


def _release(context: StepContext) -> None:
    """Let go of the safety copy. The site is upgraded and serves, whether that succeeds or not."""
    try:
        site.drop_copy(context)
    except VMoodleError as error:
        context.say(f"the safety copy is left: {error.message}")
    audit.record(waves.KIND, context.site, operation=context.operation_id)
    waves.site_done(context)


def _attention(context: StepContext) -> None:
    interruption.attention(context)
    waves.site_needs_attention(context)


UPGRADE = OperationKind(
    waves.KIND,
    "upgrade a site",
    (
        Step("check", "look what stands in the way", site.check, waves.site_went_back),
        Step("tasks", "wait for tasks at work", cron.wait_for_tasks),
        Step("close", "answer 503 for the time being, without cron", site.close, site.open_again),
        Step("copy", "make the safety copy", site.copy, site.drop_copy),
        Step("code", "publish the new code for Moodle's scripts", site.to_new_code,
             site.to_old_code),
        Step("upgrade", "run Moodle's upgrade", site.upgrade, site.data_back),
        Step("open", "serve on the new code, and see that it does", site.open_upgraded,
             site.close_again),
        Step("release", "let go of the safety copy", _release, None),
    ),
    when_reverted="The site is on the codebase and the data that it had before.",
    attention=_attention,
)  # fmt: skip
