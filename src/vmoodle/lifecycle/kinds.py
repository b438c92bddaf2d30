"""Every kind of operation there is, by name."""

from __future__ import annotations

from vmoodle.lifecycle.adopt import adopt
from vmoodle.lifecycle.create.create import CREATE
from vmoodle.lifecycle.create.deploy import DEPLOY
from vmoodle.lifecycle.delete import DELETE
from vmoodle.lifecycle.move import MOVE
from vmoodle.lifecycle.purge import PURGE
from vmoodle.lifecycle.snapshot import drill, restore, snapshot
from vmoodle.lifecycle.snapshot import run as snapshot_run
from vmoodle.lifecycle.template import (
    archive_import as template_import,
)
from vmoodle.lifecycle.template import (
    refresh as template_refresh,
)
from vmoodle.lifecycle.template import (
    template,
    warm,
)
from vmoodle.lifecycle.template import (
    upgrade as template_upgrade,
)
from vmoodle.lifecycle.upgrade import back as upgrade_back
from vmoodle.lifecycle.upgrade import operation as site_upgrade
from vmoodle.lifecycle.upgrade import rehearsal
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
        rehearsal.REHEARSE,
        site_upgrade.UPGRADE,
        upgrade_back.BACK,
        warm.FILL,
    )
}
