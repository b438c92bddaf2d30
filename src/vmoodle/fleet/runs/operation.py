"""A run as a durable operation: any executor carries it out, and goes on with it after a crash."""

from __future__ import annotations

from vmoodle.fleet.runs import runner
from vmoodle.fleet.runs.order import unknown_outcome
from vmoodle.operations.plan import OperationKind, Step, StepContext
from vmoodle.registry import runs
from vmoodle.registry.fleet_models import Run
from vmoodle.registry.models import Operation


def _sites(context: StepContext) -> None:
    """Run the command on all sites that wait; a wish to cancel is heard between two of them."""

    def stopped() -> bool:
        row = Operation.objects.filter(id=context.operation_id, cancel_requested=True)
        return row.exists()

    runner.carry_out(context.installation, context.parameters["run"], context.say, stopped)


def _finish(context: StepContext) -> None:
    run = _end(context)
    counted = runs.counts([run.id])[run.id]
    context.keep({"run": run.id, "sites": counted})
    context.say(", ".join(f"{count} {state}" for state, count in sorted(counted.items())))


def _leave(context: StepContext) -> None:
    """Take back nothing: what was done on a site stays, and the rest is cancelled."""
    _end(context)


def _end(context: StepContext) -> Run:
    run_id = context.parameters["run"]
    return runs.finish(run_id, unknown_outcome(run_id))


RUN = OperationKind(
    runs.KIND,
    "run a command on sites",
    (
        Step("sites", "run the command on each site", _sites, undo=_leave),
        Step("summary", "sum up", _finish),
    ),
    when_reverted="What was done on sites stays; `vmoodle run show` tells which.",
)
