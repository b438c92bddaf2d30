"""Check a snapshot: every object it needs is there, and every hash is right."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from vmoodle.errors import Failed
from vmoodle.store.add import Progress
from vmoodle.store.blobs import Blobs
from vmoodle.store.crowd import each
from vmoodle.store.file_list import FileEntry, parse
from vmoodle.store.finding import Finding, FindingCode
from vmoodle.store.manifest import BlobRef, Manifest, Part

_CODES: dict[str, FindingCode] = {
    "store.blob.missing": "missing",
    "store.blob.damaged": "damaged",
    "store.list.damaged": "list",
}


@dataclass(frozen=True)
class _Check:
    part: str
    name: str
    ref: BlobRef
    content_hash: bool


def verify(
    blobs: Blobs,
    manifest: Manifest,
    *,
    read: bool,
    quarantine: bool,
    on_progress: Progress | None,
) -> list[Finding]:
    """Return what is wrong. Without `read` only see that every object is there.

    With `quarantine` damaged objects are moved aside, so that the next snapshot of a site that
    still has the content mends the older ones too.
    """
    findings: list[Finding] = []
    checks = list(_checks(blobs, manifest, findings))
    if not read:
        present = blobs.at_rest()
        for check in checks:
            if not any(name in present for name in blobs.keys.names(check.ref.sha256)):
                findings.append(Finding("missing", check.part, check.name, "It is not there."))
        return findings

    def examine(check: _Check) -> tuple[_Check, Finding | None]:
        return check, _examine(blobs, check)

    done = size = 0
    for check, finding in each(examine, checks, threads=blobs.place.parallel):
        done, size = done + 1, size + check.ref.size
        if finding:
            findings.append(finding)
            if quarantine and finding.code == "damaged":
                blobs.quarantine(check.ref)
        if on_progress:
            on_progress(done, size)
    return findings


def _checks(blobs: Blobs, manifest: Manifest, findings: list[Finding]) -> Iterator[_Check]:
    seen: set[str] = set()
    for part in manifest.parts:
        yield _Check(part.name, "", part.blob, content_hash=False)
        for entry in _entries(blobs, part, findings):
            if entry.sha256 not in seen:
                seen.add(entry.sha256)
                ref = BlobRef(entry.sha256, entry.size)
                yield _Check(part.name, entry.name, ref, part.layout == "filedir")


def _entries(blobs: Blobs, part: Part, findings: list[Finding]) -> list[FileEntry]:
    if part.layout is None:
        return []
    try:
        entries = list(parse(blobs.read(part.blob), part.layout).values())
    except Failed as error:
        # A missing or damaged list is found once more as the object that it is.
        if error.code == "store.list.damaged":
            findings.append(Finding("list", part.name, "", error.message))
        return []
    if len(entries) != part.files or sum(entry.size for entry in entries) != part.bytes:
        findings.append(Finding("list", part.name, "", "It lists other files than the manifest."))
    return entries


def _examine(blobs: Blobs, check: _Check) -> Finding | None:
    try:
        sha1 = blobs.sha1(check.ref)
    except Failed as error:
        return Finding(_CODES[error.code], check.part, check.name, error.message)
    if check.content_hash and sha1 != check.name:
        return Finding(
            "contenthash",
            check.part,
            check.name,
            f"The site's file had the hash {sha1} when it was put; the store kept it as it was.",
        )
    return None
