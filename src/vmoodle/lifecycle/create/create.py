"""Create a site: from a checked request to a site that serves, or to nothing at all."""

from __future__ import annotations

from vmoodle.installation import Installation
from vmoodle.lifecycle import dataroot, preflight, resources
from vmoodle.lifecycle.create import steps as new_site
from vmoodle.lifecycle.create.request import (
    SiteRequest,
    WantedSite,
    refuse_unusable,
    reserve,
    wanted_site,
)
from vmoodle.lifecycle.create.settings import SETTINGS
from vmoodle.lifecycle.resources import making, removing
from vmoodle.moodle.code.tree import MoodleTree
from vmoodle.moodle.scripts.install import install_site
from vmoodle.operations.plan import OperationKind, Step, StepContext
from vmoodle.registry import codebases, servers, sites
from vmoodle.registry.models import Operation

KIND = "site.create"


def plan(installation: Installation, request: SiteRequest) -> WantedSite:
    """Return the site that would be made; change nothing, raise as `submit`."""
    refuse_unusable(request)
    codebase = codebases.chosen(request.codebase)
    server = servers.chosen(request.server)
    wanted = wanted_site(installation, request, codebase, server)
    preflight.check(installation, codebase, server, wanted.address, wanted.values)
    return wanted


def submit(installation: Installation, request: SiteRequest) -> Operation:
    """Check the request, reserve the site and queue its creation.

    Nothing is changed when it raises: InvalidInput for what cannot be, Conflict for what is taken,
    Refused and Unavailable for what this machine, codebase or server does not allow.
    """
    wanted = plan(installation, request)
    return reserve(installation, wanted, KIND, password=request.admin_password)


def _install(context: StepContext) -> None:
    installation, site = context.installation, sites.find(context.site)
    engine, database = installation.engine(site.server), installation.site_database(site)
    if engine.tables(database):
        context.say("a half-made installation is cleared first")
        engine.reset_database(database)
        dataroot.clear(installation, site)
    operation = Operation.objects.get(id=context.operation_id)
    install_site(
        MoodleTree.open(site.codebase.path),
        installation.php,
        site=site.shortname,
        name=site.name,
        shortname=site.shortname,
        language=installation.settings.sites.language,
        admin_user=site.admin_user,
        admin_email=site.admin_email,
        admin_password=installation.keyring.decrypt(operation.secret_encrypted),
        timeout=installation.settings.php.script_timeout,
        tell=context.say,
    )


CREATE = OperationKind(
    KIND,
    "create a site",
    (
        new_site.RESERVE,
        new_site.ACCOUNT,
        Step(
            "database",
            "create the database",
            making(resources.make_database),
            removing(resources.drop_database),
        ),
        Step("dataroot", "create moodledata", making(dataroot.make), removing(dataroot.destroy)),
        new_site.ANNOUNCE,
        Step("install", "run Moodle's installer", _install),
        SETTINGS,
        new_site.PUBLISH,
        new_site.PROVE,
        new_site.FINISH,
    ),
    when_reverted="Nothing was left behind.",
    attention=new_site.attention,
)
