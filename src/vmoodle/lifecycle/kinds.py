"""Every kind of operation there is, by name."""

from __future__ import annotations

from vmoodle.lifecycle.create import CREATE
from vmoodle.lifecycle.delete import DELETE
from vmoodle.operations.plan import Kinds

KINDS: Kinds = {kind.name: kind for kind in (CREATE, DELETE)}
