"""Every kind of operation there is, by name."""

from __future__ import annotations

from vmoodle.lifecycle import adopt, restore, snapshot, template, template_refresh, warm
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
        restore.RESTORE,
        snapshot.CREATE,
        template.CREATE,
        template_refresh.REFRESH,
        template.DELETE,
        warm.FILL,
    )
}
