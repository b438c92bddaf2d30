"""A site that answers 503 while an operation changes it, and is afterwards what it was before.

The operation's parameter `state` says what that is; why it was suspended, if it was, is kept in the
operation's result.
"""

from __future__ import annotations

from vmoodle.lifecycle.publish import publish
from vmoodle.operations.plan import StepContext
from vmoodle.registry import operations, sites
from vmoodle.registry.models import Site, SiteState


def begin(context: StepContext) -> None:
    """Let the site answer 503; its command-line scripts keep working."""
    site = sites.find(context.site)
    if SiteState(site.state) == SiteState.SUSPENDED:
        context.keep({"reason": site.state_reason})
    sites.deploying(site)
    publish(context.installation, site)


def end(context: StepContext) -> None:
    """Let the site be again what it was before."""
    site = sites.find(context.site)
    before = SiteState(str(context.parameters["state"]))
    # Where it was not begun there is no reason kept, and none lost.
    if SiteState(site.state) != before:
        reason = operations.find(context.operation_id).result.get("reason", "")
        sites.back_to(site, before, reason)
    publish(context.installation, site)


def attention(context: StepContext) -> None:
    """Let the site, if there is one still, say that its operation stopped half-way."""
    site = Site.objects.filter(shortname=context.site).first()
    if site is not None:
        sites.needs_attention(site, f"operation {context.operation_id} stopped half-way")
        publish(context.installation, site)
