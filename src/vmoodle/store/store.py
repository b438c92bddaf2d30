"""A store of snapshots and templates: opened by URL, the one way in for all who use it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Literal

from vmoodle.errors import Conflict, Failed, InvalidInput, NotFound
from vmoodle.secret import Secret
from vmoodle.store import fetch as fetching
from vmoodle.store import garbage, lease, verify
from vmoodle.store.add import AddedFiles, Progress, add_files
from vmoodle.store.address import StoreAddress, StoreCredentials, parse_url
from vmoodle.store.blobs import Blobs
from vmoodle.store.fetch import FetchedFiles, Modes, Source
from vmoodle.store.file_list import FileEntry, Layout, parse
from vmoodle.store.finding import Finding
from vmoodle.store.head import open_head
from vmoodle.store.keys import Keys
from vmoodle.store.manifest import (
    FOLDER,
    MAX_BYTES,
    BlobRef,
    Manifest,
    require_id,
    seal,
    unseal,
)
from vmoodle.store.objects import Readable, read_up_to
from vmoodle.store.place import Place, open_place

_SUFFIX = ".json"
_PATIENCE = 60.0


@dataclass(frozen=True)
class Sizes:
    """Say how much a snapshot holds: its files' own bytes, and the bytes its objects have at rest.

    `unique` are those at rest that no other snapshot of the store shares: what deleting it frees.
    """

    logical: int
    physical: int
    unique: int


class Store:
    """Keep contents and manifests in one place; `open_store` gives one.

    Every method may raise the Unavailable and Refused of a place (`store.unreachable`,
    `store.login`, `store.denied`, `store.full`, `store.write`, `store.hostkey`). Several threads
    may use one Store.
    """

    def __init__(self, place: Place, keys: Keys, spool: Path | None = None) -> None:
        self._place = place
        self._keys = keys
        self._blobs = Blobs(place, keys, spool)
        self._lock = threading.Lock()
        self._writers = 0
        self._lease: lease.Lease | None = None

    def __repr__(self) -> str:
        return f"Store({self.address.display()})"

    @property
    def address(self) -> StoreAddress:
        """Return where it is."""
        return self._place.address

    @property
    def encrypted(self) -> bool:
        """Tell whether its contents are encrypted."""
        return bool(self._keys)

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Keep garbage collection away from all that is put within.

        Whatever writes does so by itself; around several calls it makes one protected whole of
        them, and lists the store only once. Waits for a collector up to a minute, then raises
        Conflict (`store.busy`).
        """
        with self._lock:
            if self._writers == 0:
                self._lease = lease.take_for_writing(self._place, _PATIENCE)
                self._blobs.begin()
            self._writers += 1
        try:
            yield
        finally:
            with self._lock:
                self._writers -= 1
                if self._writers == 0 and self._lease:
                    self._lease.release()
                    self._lease = None

    def put_stream(self, stream: Readable) -> BlobRef:
        """Put what the stream gives until its end; nothing of it lies anywhere uncompressed."""
        with self.writing():
            return self._blobs.put_stream(stream).ref

    def put_file(self, path: Path) -> BlobRef:
        """Put a file's content; raise Conflict (`store.file.changed`, `store.file.unreadable`)."""
        try:
            with self.writing():
                return self._blobs.put_file(path).ref
        except OSError as error:
            raise Conflict(
                "store.file.unreadable",
                f"{path} cannot be read: {error.strerror}.",
                "Let VMoodle's account read it.",
            ) from error

    def has(self, ref: BlobRef) -> bool:
        """Tell whether a content is in the store."""
        with self.writing():
            return self._blobs.has(ref.sha256)

    def chunks(self, ref: BlobRef) -> Iterator[bytes]:
        """Yield a content; it is verified when this has ended without Failed, not before."""
        return self._blobs.chunks(ref)

    def get(self, ref: BlobRef, target: Path, *, mode: int = 0o600) -> None:
        """Write a content into the file `target`, which appears whole and verified, or not at all.

        Raise Failed (`store.blob.missing`, `store.blob.damaged`), Unavailable (`store.target`).
        """
        fetching.get(self._blobs, ref, target, Modes(file=mode))

    def add_files(
        self,
        part: str,
        files: Iterable[tuple[str, Path]],
        *,
        layout: Layout = "filedir",
        like: Manifest | None = None,
        on_progress: Progress | None = None,
    ) -> AddedFiles:
        """Put files, several at once, and their list; the answer has the manifest's part.

        `files` gives names and paths, as `add.walk_filedir` and `add.walk` do. With `like`, an
        earlier snapshot, files of a filedir with a name and size it knows are not read again.
        Files that vanished, are no plain files, or are not what their content hash says are among
        the findings. Raise InvalidInput (`store.file.name`), Conflict (`store.file.unreadable`).
        """
        with self.writing():
            before = self._known_files(like, part) if like and layout == "filedir" else {}
            return add_files(
                self._blobs, part, files, layout=layout, before=before, on_progress=on_progress
            )

    def files(self, manifest: Manifest, part: str = "filedir") -> Mapping[str, FileEntry]:
        """Return a part's files by name; raise Failed (`store.list.damaged` and a blob's)."""
        found = manifest.part(part)
        if found.layout is None:
            raise InvalidInput(
                "store.part", f"The part {part} of {manifest.id} holds no files.", "Use get."
            )
        return parse(self._blobs.read(found.blob), found.layout)

    def fetch_files(
        self,
        manifest: Manifest,
        target: Path,
        *,
        part: str = "filedir",
        link_from: Source | None = None,
        modes: Modes | None = None,
        on_progress: Progress | None = None,
    ) -> FetchedFiles:
        """Make the directory `target` hold a part's files; run again, it goes on where it was.

        Files that `link_from` has are shared with it (reflink, else a hard link). Raise as `get`,
        and Refused (`store.target.link`).
        """
        files = self.files(manifest, part)
        return fetching.fetch_files(
            self._blobs,
            files,
            target,
            layout=manifest.part(part).layout or "tree",
            source=link_from,
            modes=modes or Modes(),
            on_progress=on_progress,
        )

    def write_manifest(self, manifest: Manifest) -> None:
        """Complete a snapshot: from now on it exists, and what it needs is not garbage.

        Raise Conflict (`store.manifest.exists`), Failed (`store.blob.missing`) when something it
        needs is not in the store, Unavailable (`store.lease.lost`).
        """
        document = seal(manifest, self._keys)
        if len(document) > MAX_BYTES:
            raise InvalidInput(
                "store.manifest.long", "The manifest is too long.", "Shorten the note."
            )
        with self.writing():
            for sha256 in garbage.contents_of(self._blobs, manifest, {}):
                if not self._blobs.has(sha256):
                    raise Failed(
                        "store.blob.missing",
                        f"{manifest.id} needs the content {sha256}, which is not in the store.",
                        "Put its parts again; those that are there are not sent twice.",
                    )
            name = manifest.id + _SUFFIX
            if self._place.exists(FOLDER, name):
                raise Conflict(
                    "store.manifest.exists",
                    f"The store has a snapshot or template {manifest.id} already.",
                    "Delete that one first, or take another id.",
                )
            if self._lease:
                self._lease.require()
            self._place.write(FOLDER, name, document)

    def read_manifest(self, identity: str) -> Manifest:
        """Return a manifest; raise NotFound (`store.manifest.unknown`).

        Raise Failed (`store.manifest.damaged`), Unavailable (`store.format`), InvalidInput.
        """
        require_id(identity)
        try:
            with self._place.read(FOLDER, identity + _SUFFIX, MAX_BYTES // 2) as file:
                document = read_up_to(file, MAX_BYTES + 1)
        except FileNotFoundError:
            raise NotFound(
                "store.manifest.unknown",
                f"The store {self.address.display()} has no snapshot or template {identity}.",
                "List what it has.",
            ) from None
        manifest = unseal(document, self._keys, identity)
        if manifest.id != identity:
            raise Failed(
                "store.manifest.damaged",
                f"The manifest {identity} is damaged or was altered: it is that of {manifest.id}.",
                "Nothing of it was used.",
            )
        return manifest

    def manifest_ids(self) -> list[str]:
        """Return the ids of all manifests, damaged ones too, in order."""
        entries = self._place.list(FOLDER)
        return sorted(
            entry.name.removesuffix(_SUFFIX) for entry in entries if entry.name.endswith(_SUFFIX)
        )

    def list_manifests(
        self, *, kind: Literal["snapshot", "template"] | None = None, site: str | None = None
    ) -> list[Manifest]:
        """Return the manifests, oldest first; one that is damaged raises as `read_manifest`."""
        manifests = (self.read_manifest(identity) for identity in self.manifest_ids())
        return sorted(
            (
                manifest
                for manifest in manifests
                if kind in (None, manifest.kind) and site in (None, manifest.site.shortname)
            ),
            key=lambda manifest: (manifest.created, manifest.id),
        )

    def delete_manifest(self, identity: str) -> None:
        """Make a snapshot or template cease to exist, damaged or not; its contents become garbage.

        Raise NotFound (`store.manifest.unknown`).
        """
        require_id(identity)
        if not self._place.exists(FOLDER, identity + _SUFFIX):
            raise NotFound(
                "store.manifest.unknown",
                f"The store {self.address.display()} has no snapshot or template {identity}.",
                "List what it has.",
            )
        self._place.remove(FOLDER, identity + _SUFFIX)

    def verify(
        self,
        manifest: Manifest,
        *,
        read: bool = True,
        quarantine: bool = False,
        on_progress: Progress | None = None,
    ) -> list[Finding]:
        """Return what is wrong with a snapshot, nothing when every hash is right.

        Without `read`, only see that all objects are there. With `quarantine`, damaged ones are
        moved aside, so that the next snapshot that has their content puts it again.
        """
        return verify.verify(
            self._blobs, manifest, read=read, quarantine=quarantine, on_progress=on_progress
        )

    def collect_garbage(
        self, *, grace: timedelta = garbage.GRACE, dry_run: bool = False
    ) -> garbage.Collected:
        """Remove contents that no manifest needs and that are older than the grace.

        Raise Conflict (`store.busy`) while anybody writes or collects, Refused
        (`store.garbage.unknown`) when a manifest is damaged.
        """
        return garbage.collect(self._blobs, self.list_manifests, grace, dry_run=dry_run)

    def sizes(self, *manifests: Manifest) -> dict[str, Sizes]:
        """Return the sizes of all snapshots by id, or of those given."""
        lists: dict[str, frozenset[str]] = {}
        at_rest = self._blobs.at_rest()
        everything = self.list_manifests()
        names: dict[str, set[str]] = {}
        users: dict[str, int] = {}
        for manifest in everything:
            needed = garbage.contents_of(self._blobs, manifest, lists)
            names[manifest.id] = {
                name for sha256 in needed for name in self._keys.names(sha256) if name in at_rest
            }
            for name in names[manifest.id]:
                users[name] = users.get(name, 0) + 1
        return {
            manifest.id: Sizes(
                manifest.bytes,
                sum(at_rest[name] for name in names.get(manifest.id, ())),
                sum(at_rest[name] for name in names.get(manifest.id, ()) if users[name] == 1),
            )
            for manifest in manifests or everything
        }

    def _known_files(self, like: Manifest, part: str) -> Mapping[str, FileEntry]:
        """Return what an earlier snapshot knows; one that is damaged only costs time."""
        try:
            return self.files(like, part)
        except (Failed, InvalidInput):
            return {}


def open_store(
    url: str,
    *,
    credentials: StoreCredentials | None = None,
    key: Secret | Sequence[Secret] | None = None,
    create: bool = False,
    spool: Path | None = None,
) -> Store:
    """Open a store; with `create` make one where nothing is.

    `key` encrypts a new store and opens an encrypted one; of several the first encrypts what is
    new. `spool` is where large parts wait for being sent (default: the machine's temporary
    directory; a local store uses its own). Raise InvalidInput (`store.url.*`, `store.key.invalid`),
    NotFound (`store.missing`), Refused (`store.foreign`, `store.key.missing`, `store.key.wrong`,
    `store.key.unneeded`), Unavailable (`store.format`, `store.extra` and a place's).
    """
    address, within = parse_url(url)
    keys = Keys([key] if isinstance(key, Secret) else key or ())
    place = open_place(address, credentials or within)
    place.prepare(create=create)
    open_head(place, keys, create=create)
    return Store(place, keys, spool)
