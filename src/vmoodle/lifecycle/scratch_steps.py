"""Steps that a drill and a rehearsal have in common: the copy is found, withdrawn and dropped."""

from __future__ import annotations

from vmoodle.lifecycle import dataroot, publish, resources, scratch_copy
from vmoodle.lifecycle.resources import ForHoldings, Holdings
from vmoodle.operations.plan import StepContext, StepFunction
from vmoodle.registry import operations
from vmoodle.registry.models import Site


def copy_of(context: StepContext) -> Site:
    """Return the operation's copy as a site that the registry does not have."""
    return scratch_copy.scratch_site(context.installation, operations.find(context.operation_id))


def holdings_of(context: StepContext) -> Holdings:
    """Return what the operation has of its copy."""
    return scratch_copy.holdings_of(context.installation, operations.find(context.operation_id))


def with_holdings(function: ForHoldings) -> StepFunction:
    """Return a step that is done on what the operation has of its copy."""
    return lambda context: function(context, holdings_of(context))


def let_find(context: StepContext) -> None:
    """Put the copy into the host map, where PHP finds it."""
    context.keep({scratch_copy.PUBLISHED: True})
    published = scratch_copy.published_copy(context.installation, copy_of(context))
    publish.publish_copy(context.installation, published)


def withdraw(context: StepContext) -> None:
    """Take the copy off the host map."""
    context.keep({scratch_copy.PUBLISHED: False})
    copy = copy_of(context)
    publish.withdraw_copy(context.installation, copy.shortname, copy.wwwroot)


def drop(context: StepContext) -> None:
    """Drop the copy's database, account and directory."""
    holdings = holdings_of(context)
    resources.drop_database(context, holdings)
    resources.drop_account(context, holdings)
    dataroot.destroy(context, holdings)
