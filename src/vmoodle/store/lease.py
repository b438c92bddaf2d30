"""Leases in a store: who writes, who collects garbage; never both at once.

Each puts its own lease first and looks for the other's afterwards, so of two that come together at
least one sees the other. Ages are taken from the times the place itself gives, not from clocks.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from dataclasses import asdict
from datetime import timedelta
from typing import Literal

from vmoodle.errors import Conflict, Unavailable, VMoodleError
from vmoodle.process import ProcessName, this_process
from vmoodle.store.place import Entry, Place

Role = Literal["writer", "collector"]

FOLDER = "leases"
EXPIRES = timedelta(minutes=15)
"""How long a lease counts that nobody refreshes: a machine that froze is not waited for longer."""

_BEAT = 60.0
_POLL = 0.1
_BODY = 4096


class Lease:
    """Hold a lease, refreshed in the background until released."""

    def __init__(self, place: Place, role: Role) -> None:
        self._place = place
        self._role = role
        self.name = f"{role}-{os.urandom(8).hex()}.json"
        self._body = json.dumps({"host": socket.gethostname(), **asdict(this_process())}).encode()
        self._stop = threading.Event()
        self._lost = False
        self._put()
        self._thread = threading.Thread(target=self._beat, name="store-lease", daemon=True)
        self._thread.start()

    def require(self) -> None:
        """Raise Unavailable (`store.lease.lost`) when it may no longer count for others."""
        if self._lost or time.clock_gettime(time.CLOCK_BOOTTIME) - self._put_at > (
            EXPIRES.total_seconds() / 2
        ):
            raise Unavailable(
                "store.lease.lost",
                f"The store {self._place.address.display()} was out of reach for too long.",
                "Nothing was lost; run it again, what is stored already is not sent again.",
            )

    def release(self) -> None:
        """Give it back; a place that does not answer now forgets it by its age."""
        self._stop.set()
        self._thread.join()
        with contextlib.suppress(VMoodleError):
            self._place.remove(FOLDER, self.name)

    def _put(self) -> None:
        self._place.write(FOLDER, self.name, self._body, replace=True)
        self._put_at = time.clock_gettime(time.CLOCK_BOOTTIME)

    def _beat(self) -> None:
        while not self._stop.wait(_BEAT):
            # A place that does not answer: the age of the last refresh decides.
            with contextlib.suppress(VMoodleError):
                if not self._place.exists(FOLDER, self.name):
                    self._lost = True
                    return
                self._put()


def take_for_writing(place: Place, patience: float) -> Lease:
    """Return a writer's lease; wait for a collector, then raise Conflict (`store.busy`)."""
    deadline = time.monotonic() + patience
    while True:
        lease = Lease(place, "writer")
        try:
            others = _others(place, lease, ("collector",))
        except BaseException:
            lease.release()
            raise
        if not others:
            return lease
        lease.release()
        if time.monotonic() > deadline:
            raise _busy(place, "garbage is being collected")
        time.sleep(_POLL)


def take_for_collecting(place: Place) -> Lease:
    """Return the collector's lease; raise Conflict (`store.busy`) when anybody else is at it."""
    lease = Lease(place, "collector")
    try:
        others = _others(place, lease, ("writer", "collector"))
    except BaseException:
        lease.release()
        raise
    if others:
        lease.release()
        raise _busy(place, "a snapshot is being written, or garbage collected")
    return lease


def own_entry(place: Place, lease: Lease) -> Entry:
    """Return the lease as the place lists it: its time is the place's now, or a beat ago."""
    for entry in place.list(FOLDER):
        if entry.name == lease.name:
            return entry
    raise Unavailable(
        "store.lease.lost",
        f"The store {place.address.display()} forgot what was just written.",
        "Is it one directory or bucket for all who use it?",
    )


def _others(place: Place, own: Lease, roles: tuple[Role, ...]) -> list[str]:
    """Return the live leases of these roles besides the own; remove those of the dead."""
    now = own_entry(place, own).modified
    living = []
    for entry in list(place.list(FOLDER)):
        if entry.name == own.name or not entry.name.startswith(roles):
            continue
        if now - entry.modified > EXPIRES or _is_dead(place, entry):
            place.remove(FOLDER, entry.name)
        else:
            living.append(entry.name)
    return living


def _is_dead(place: Place, entry: Entry) -> bool:
    """Tell whether its process is known to be gone: one of this machine, in this boot."""
    try:
        with place.read(FOLDER, entry.name, entry.size) as file:
            body = json.loads(file.read(_BODY))
        return ProcessName(str(body["machine"]), int(body["pid"]), float(body["started"])).is_gone
    except FileNotFoundError:
        return True
    except (ValueError, KeyError, TypeError):
        return False


def _busy(place: Place, reason: str) -> Conflict:
    return Conflict(
        "store.busy",
        f"The store {place.address.display()} is busy: {reason}.",
        f"Try again later; a lease of a machine that died counts for {EXPIRES.seconds // 60} min.",
    )
