"""The head of a store: the one document that says it is one, of which format and keys."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from vmoodle.errors import Failed, NotFound, Refused, Unavailable
from vmoodle.store import lease, manifest
from vmoodle.store.address import StoreAddress
from vmoodle.store.keys import Keys
from vmoodle.store.objects import read_up_to
from vmoodle.store.place import Place
from vmoodle.store.strict_json import Malformed, loads

NAME = "vmoodle-store.json"
_FORMAT = 1
_MAX_BYTES = 1 << 16


def open_head(place: Place, keys: Keys, *, create: bool) -> None:
    """See that the place holds a store these keys open, or with `create` make it one.

    With `create` a store in clear that holds nothing yet, and to which nobody writes, takes the
    keys.

    Raise NotFound (`store.missing`), Failed (`store.damaged`), Unavailable (`store.format`),
    Refused (`store.foreign`, `store.key.missing`, `store.key.wrong`, `store.key.unneeded`).
    """
    known = _read(place)
    if known is None:
        _refuse_to_make(place, create)
        _write(place, keys.ids, replace=False)
        # Of two that make it at once the first one's head stays; both go on with that.
        known = _read(place) or []
    if create and keys and not known and _is_unused(place):
        # It was made before the key was set: what may lie there belongs to no snapshot.
        known = list(keys.ids)
        _write(place, known, replace=True)
    _require_keys(place.address, keys, known)
    new = [identity for identity in keys.ids if identity not in known]
    if new:
        _write(place, [*known, *new], replace=True)


def _refuse_to_make(place: Place, create: bool) -> None:
    if not create:
        raise NotFound(
            "store.missing",
            f"There is no store at {place.address.display()}.",
            "Check the address, or create the store there.",
        )
    if not place.is_empty():
        raise Refused(
            "store.foreign",
            f"{place.address.display()} holds something that is no store.",
            "Take an empty or a new directory or prefix.",
        )


def _is_unused(place: Place) -> bool:
    return not any(True for folder in (manifest.FOLDER, lease.FOLDER) for _ in place.list(folder))


def _require_keys(address: StoreAddress, keys: Keys, known: Sequence[str]) -> None:
    where, wanted = address.display(), f"Give the key whose id is {' or '.join(known)}."
    if known and not keys:
        raise Refused(
            "store.key.missing", f"The store {where} is encrypted and no key was given.", wanted
        )
    if keys and not known:
        raise Refused(
            "store.key.unneeded",
            f"The store {where} is not encrypted, but a key was given.",
            "Open it without a key, or make a new, encrypted store.",
        )
    if keys and not set(known) & set(keys.ids):
        raise Refused(
            "store.key.wrong", f"The store {where} is encrypted with another key.", wanted
        )


def _read(place: Place) -> list[str] | None:
    """Return the ids of the keys the store is encrypted with, None when it is no store."""
    try:
        with place.read("", NAME, _MAX_BYTES) as file:
            document = read_up_to(file, _MAX_BYTES)
        written, keys = _members(loads(document))
    except FileNotFoundError:
        return None
    except Malformed as error:
        raise Failed(
            "store.damaged",
            f"{NAME} of the store {place.address.display()} is damaged.",
            "Put back a copy of that file; nothing else of the store was touched.",
        ) from error
    if written > _FORMAT:
        raise Unavailable(
            "store.format",
            f"The store {place.address.display()} has format {written}; this VMoodle reads "
            f"{_FORMAT}.",
            "Use the VMoodle that made it, or a newer one.",
        )
    return keys


def _members(head: Any) -> tuple[int, list[str]]:
    if not isinstance(head, dict) or type(head.get("format")) is not int:
        raise Malformed("its format")
    keys = head.get("keys")
    if not isinstance(keys, list) or not all(isinstance(identity, str) for identity in keys):
        raise Malformed("its keys")
    return head["format"], keys


def _write(place: Place, keys: Sequence[str], *, replace: bool) -> None:
    head = {
        "format": _FORMAT,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "keys": list(keys),
    }
    place.write("", NAME, json.dumps(head, indent=1).encode() + b"\n", replace=replace)
