"""What a snapshot or template consists of: one JSON document, sealed against alteration."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from vmoodle.errors import Failed, InvalidInput, Unavailable
from vmoodle.store.file_list import SHA256, Layout
from vmoodle.store.keys import Keys
from vmoodle.store.strict_json import Malformed, as_json, build, canonical, loads

FORMAT = 1
FOLDER = "manifests"
MAX_BYTES = 4 << 20
"""Bytes a manifest's document may have."""

_ID = re.compile(r"[a-z0-9]([a-z0-9._-]{0,118}[a-z0-9])?")
_PART_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")


@dataclass(frozen=True)
class BlobRef:
    """Name a content by the SHA-256 of its plain bytes, and say how many there are."""

    sha256: str
    size: int

    def __post_init__(self) -> None:
        if not SHA256.fullmatch(self.sha256) or self.size < 0:
            raise ValueError("no reference to a content")


@dataclass(frozen=True)
class Part:
    """One part of a snapshot: a content of its own, or the list of a directory's files.

    With a `layout` the blob is a list of files, `files` many of `bytes` in all; without one it is
    the content itself (a database dump), and `bytes` is its size.
    """

    name: str
    blob: BlobRef
    layout: Layout | None
    files: int
    bytes: int

    def __post_init__(self) -> None:
        if not _PART_NAME.fullmatch(self.name) or self.files < 0 or self.bytes < 0:
            raise ValueError("no part of a snapshot")

    @classmethod
    def of(cls, name: str, blob: BlobRef) -> Part:
        """Return the part that is one content."""
        return cls(name, blob, None, 1, blob.size)


@dataclass(frozen=True)
class SiteFacts:
    """Say which site it was."""

    shortname: str
    name: str
    wwwroot: str


@dataclass(frozen=True)
class MoodleFacts:
    """Say which Moodle it ran: `version` as in version.php, and the hash of all components."""

    version: str
    release: str
    component_hash: str


@dataclass(frozen=True)
class EngineFacts:
    """Say which database engine it came from."""

    flavour: Literal["mariadb", "mysql", "postgresql"]
    version: str


@dataclass(frozen=True)
class Manifest:
    """Say what a snapshot or template is and holds; `extra` is the caller's own."""

    id: str
    kind: Literal["snapshot", "template"]
    created: datetime
    created_by: str
    note: str
    site: SiteFacts
    moodle: MoodleFacts
    engine: EngineFacts
    prefix: str
    parts: tuple[Part, ...]
    extra: Mapping[str, str] = field(default_factory=dict)
    format: int = FORMAT

    def __post_init__(self) -> None:
        if not _ID.fullmatch(self.id) or ".." in self.id:
            raise ValueError("no id of a snapshot")
        if len({part.name for part in self.parts}) != len(self.parts):
            raise ValueError("two parts of one name")

    def part(self, name: str) -> Part:
        """Return a part by its name; raise InvalidInput (`store.part`)."""
        for part in self.parts:
            if part.name == name:
                return part
        raise InvalidInput(
            "store.part",
            f"{self.id} has no part {name}.",
            f"It has: {', '.join(part.name for part in self.parts) or 'none'}.",
        )

    @property
    def bytes(self) -> int:
        """Return the bytes of all that it holds, before compression."""
        return sum(part.bytes for part in self.parts)


def new_id(name: str, when: datetime | None = None) -> str:
    """Return an unused id that sorts by time and names the site: 20260301t120000-school1-9f3a61."""
    moment = (when or datetime.now(UTC)).astimezone(UTC)
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:60].strip("-") or "site"
    return f"{moment:%Y%m%dt%H%M%S}-{plain}-{os.urandom(3).hex()}"


def require_id(identity: str) -> None:
    """Raise InvalidInput (`store.manifest.id`) for what cannot be an id."""
    if not _ID.fullmatch(identity) or ".." in identity:
        raise InvalidInput(
            "store.manifest.id",
            f"{identity[:80]!r} cannot be the id of a snapshot.",
            "Lower-case letters, digits, dots, dashes.",
        )


def seal(manifest: Manifest, keys: Keys) -> bytes:
    """Return the document of a manifest: its body, the body's SHA-256, and HMAC with a key."""
    body = as_json(manifest)
    exact = canonical(body)
    document = {"manifest": body, "sha256": hashlib.sha256(exact).hexdigest()}
    signature = keys.seal(exact)
    if signature:
        document["seal"] = signature
    return json.dumps(document, indent=1, ensure_ascii=False).encode() + b"\n"


@dataclass(frozen=True)
class _Seal:
    key: str
    hmac: str

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[0-9a-f]{16}", self.key) or not SHA256.fullmatch(self.hmac):
            raise ValueError("no seal")


def unseal(document: bytes, keys: Keys, name: str) -> Manifest:
    """Return the manifest of a document; raise Failed (`store.manifest.damaged`).

    Raise Unavailable (`store.format`) when a newer VMoodle wrote it.
    """
    try:
        return _unseal(loads(document, MAX_BYTES), keys)
    except Malformed as error:
        raise Failed(
            "store.manifest.damaged",
            f"The manifest {name} is damaged or was altered: {error}.",
            "Nothing of it was used. Take another snapshot, or a copy of the store.",
        ) from error


def _unseal(document: Any, keys: Keys) -> Manifest:
    if not isinstance(document, dict) or set(document) - {"seal"} != {"manifest", "sha256"}:
        raise Malformed("it has not the members of a manifest")
    body = document["manifest"]
    exact = canonical(body)
    if hashlib.sha256(exact).hexdigest() != document["sha256"]:
        raise Malformed("its SHA-256 is another")
    signature = document.get("seal")
    sealed = build(_Seal, signature, "seal") if signature is not None else None
    if not keys.accepts(exact, {"key": sealed.key, "hmac": sealed.hmac} if sealed else None):
        raise Malformed("its seal is not that of the store's key")
    written = body.get("format") if isinstance(body, dict) else None
    if type(written) is int and written > FORMAT:
        raise Unavailable(
            "store.format",
            f"The manifest has format {written}; this VMoodle reads {FORMAT}.",
            "Use the VMoodle that wrote it, or a newer one.",
        )
    if written != FORMAT:
        raise Malformed("its format is unknown")
    return build(Manifest, body, "manifest")
