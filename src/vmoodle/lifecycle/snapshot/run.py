"""A run of snapshots: one durable operation that orders a snapshot of each of the settings' sites.

Those are operations of their own, and each prunes its own site when it is whole.
"""

from __future__ import annotations

from vmoodle.errors import Failed, VMoodleError
from vmoodle.installation import Installation
from vmoodle.lifecycle import names
from vmoodle.lifecycle.snapshot import snapshot
from vmoodle.lifecycle.stored import open_snapshots
from vmoodle.operations.plan import OperationKind, Step, StepContext
from vmoodle.registry import operations, snapshots
from vmoodle.registry import targets as registry_targets
from vmoodle.registry.models import Operation, SiteState

KIND = "snapshot.schedule"
# One run at a time: each holds this.
_SUBJECT = "schedule:snapshots"


def submit(installation: Installation, due: str) -> Operation:
    """Queue a run for what was due at a time (ISO 8601); raise Conflict while one is under way."""
    return operations.submit(KIND, site=_SUBJECT, parameters={"due": due}, node=installation.node)


def ordered_by(run: Operation) -> list[Operation]:
    """Return what a run has ordered, and failed ones for the same time before it, oldest first."""
    tries = Operation.objects.filter(kind=KIND, parameters__due=run.parameters["due"])
    ids = list(tries.values_list("id", flat=True))
    rows = Operation.objects.filter(kind=snapshot.KIND, parameters__run__in=ids)
    return list(rows.order_by("created_at", "subject"))


def skipped(run: Operation) -> dict[str, VMoodleError]:
    """Return what a run has left out, and why: sites, and words of the settings no site meets."""
    return {
        what: Failed(
            "snapshot.skipped",
            str(why),
            "`vmoodle snapshot create SITE` takes one by hand; `snapshots.schedule_sites` says "
            "which are meant.",
        )
        for what, why in run.result.get("skipped", {}).items()
    }


def targets(installation: Installation) -> tuple[list[str], dict[str, str]]:
    """Return the shortnames of the sites that the settings name, and what of them means none.

    The latter is why, by the word of the settings. Labels that are none leave nothing chosen.
    """
    text = installation.settings.snapshots.schedule_sites
    words = text.split()
    try:
        labels = names.labels([word for word in words if "=" in word])
    except VMoodleError as error:
        return [], {text: error.message}
    patterns = [word for word in words if "=" not in word]
    sites, unmet = registry_targets.choose_each(
        patterns, labels, {SiteState.ENABLED, SiteState.SUSPENDED}
    )
    if not labels:  # all sites are meant, and that there are none is no mistake
        unmet = {word: error for word, error in unmet.items() if word not in {"", "*"}}
    return [site.shortname for site in sites], {
        word or text: error.message for word, error in unmet.items()
    }


def _order(context: StepContext) -> None:
    """Order what this run has not ordered yet; a site that cannot be snapshotted holds no other."""
    installation = context.installation
    open_snapshots(installation, create=True)
    there = {row.subject for row in ordered_by(operations.find(context.operation_id))}
    chosen, left_out = targets(installation)
    for what, why in left_out.items():
        context.say(f"{what}: {why}")
    for shortname in chosen:
        if shortname in there:
            continue
        try:
            snapshot.order(
                installation,
                shortname,
                reason=snapshots.SCHEDULE,
                note="",
                run=context.operation_id,
                prune=True,
            )
            there.add(shortname)
        except VMoodleError as error:
            left_out[shortname] = error.message
            context.say(f"{shortname} is left out: {error.message}")
    context.keep({"ordered": len(there), "skipped": left_out})
    context.say(f"{len(there)} snapshots ordered")


def _collect(context: StepContext) -> None:
    """Remove what the snapshots pruned by earlier runs left; a busy store waits for the next."""
    try:
        collected = open_snapshots(context.installation).collect_garbage()
    except VMoodleError as error:
        context.say(f"the store was not cleared up: {error.message}")
    else:
        context.say(f"{collected.removed} contents nobody needs removed from the store")


RUN = OperationKind(
    KIND,
    "take the snapshots that are due",
    (
        Step("collect", "clear up the store", _collect),
        Step("order", "order a snapshot of each site", _order),
    ),
    when_reverted="What it had ordered is taken all the same.",
)
