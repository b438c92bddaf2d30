"""The steps that every new site goes through, whatever it is made from."""

from __future__ import annotations

from vmoodle.errors import Failed
from vmoodle.lifecycle import resources
from vmoodle.lifecycle.prove import prove
from vmoodle.lifecycle.publish import publish, withdraw
from vmoodle.lifecycle.resources import making, removing
from vmoodle.operations.plan import Step, StepContext
from vmoodle.registry import audit, operations, sites
from vmoodle.registry.models import Site


def _forget(context: StepContext) -> None:
    site = Site.objects.filter(shortname=context.site).first()
    if site is not None:
        # One that needed attention was published, whether its address had been announced or not.
        _withdraw(context)
        sites.forget(site, leave_tombstone=False)


def _publish_deploying(context: StepContext) -> None:
    site = sites.find(context.site)
    sites.deploying(site)
    publish(context.installation, site)


def _withdraw(context: StepContext) -> None:
    site = sites.find(context.site)
    withdraw(context.installation, site, tombstone=sites.was_deleted(site.address_key))


def _go_live(context: StepContext) -> None:
    site = sites.find(context.site)
    sites.enabled(site)
    publish(context.installation, site)


def _prove(context: StepContext) -> None:
    site = sites.find(context.site)
    answer = prove(context.installation, site)
    context.say(answer.summary())
    context.keep({"wwwroot": site.wwwroot, "title": answer.title})


def _finish(context: StepContext) -> None:
    if reason := str(context.parameters.get("suspended", "")):
        # Not before: the proof takes a front page, which a suspended site does not show.
        site = sites.find(context.site)
        sites.suspended(site, reason)
        publish(context.installation, site)
        context.say(f"suspended: {reason}")
    if not context.parameters.get("generated"):
        operations.take_secret(context.operation_id)
    sites.address_used_again(sites.find(context.site).address_key)
    audit.record(
        operations.find(context.operation_id).kind, context.site, operation=context.operation_id
    )


def attention(context: StepContext) -> None:
    """Let the site say that its operation stopped half-way."""
    site = Site.objects.filter(shortname=context.site).first()
    if site is not None:
        sites.needs_attention(site, f"operation {context.operation_id} could not be taken back")
        publish(context.installation, site)


def _reserved(context: StepContext) -> None:
    if not Site.objects.filter(shortname=context.site).exists():
        raise Failed("site.gone", "The reserved site is gone from the registry.", "Create it anew.")


RESERVE = Step("reserve", "reserve names", _reserved, _forget)
ACCOUNT = Step(
    "account",
    "create the database account",
    making(resources.make_account),
    removing(resources.drop_account),
)
ANNOUNCE = Step("announce", "publish the address as being deployed", _publish_deploying, _withdraw)
PUBLISH = Step("publish", "publish the site", _go_live, _publish_deploying)
PROVE = Step("prove", "request the front page", _prove)
FINISH = Step("finish", "leave it as it was asked for", _finish)
