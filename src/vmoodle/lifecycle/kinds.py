"""Every kind of operation there is, by name."""

from __future__ import annotations

from vmoodle.lifecycle import (
    adopt,
    drill,
    restore,
    snapshot,
    snapshot_run,
    template,
    template_import,
    template_refresh,
    template_upgrade,
    warm,
)
from vmoodle.lifecycle.create import CREATE
from vmoodle.lifecycle.delete import DELETE
from vmoodle.lifecycle.deploy import DEPLOY
from vmoodle.lifecycle.move import MOVE
from vmoodle.lifecycle.purge import PURGE
from vmoodle.operations.plan import Kinds

KINDS: Kinds = {
    kind.name: kind
    for kind in (
        adopt.ADOPT,
        adopt.OWN,
        CREATE,
        DELETE,
        DEPLOY,
        MOVE,
        PURGE,
        drill.DRILL,
        restore.RESTORE,
        snapshot.CREATE,
        snapshot_run.RUN,
        template.CREATE,
        template_import.IMPORT,
        template_refresh.REFRESH,
        template_upgrade.UPGRADE,
        template.DELETE,
        warm.FILL,
    )
}
