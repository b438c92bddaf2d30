"""Every kind of operation there is, by name: those on one thing, and runs on many sites."""

from __future__ import annotations

from vmoodle.fleet.runs.operation import RUN
from vmoodle.lifecycle import kinds
from vmoodle.operations.plan import Kinds

KINDS: Kinds = {**kinds.KINDS, RUN.name: RUN}
