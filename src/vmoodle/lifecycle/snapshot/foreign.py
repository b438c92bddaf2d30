"""An archive from elsewhere: which key opens it, and whether what it says of itself can be.

Whoever wrote the file may have been anybody.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path

from vmoodle.errors import InvalidInput, Refused, VMoodleError
from vmoodle.installation import Installation
from vmoodle.lifecycle import names
from vmoodle.lifecycle.stored import DATABASE_PART
from vmoodle.moodle.files import moodledata
from vmoodle.secret import Secret
from vmoodle.store import archive
from vmoodle.store.manifest import Manifest

Rule = tuple[str, Callable[[Manifest], bool]]
"""What it is about, and whether a manifest keeps it."""


def archive_key(installation: Installation, path: Path) -> Secret | None:
    """Return the key that opens an archive: the snapshots', or none for one that needs none.

    Raise as the archive does.
    """
    key = installation.settings.snapshots.key or None
    try:
        archive.inspect(path, key=key)
    except Refused as error:
        if error.code != "store.key.unneeded":
            raise
        return None
    return key


def refuse_odd(path: Path, manifest: Manifest, rules: Iterable[Rule]) -> None:
    """Raise InvalidInput `template.archive.odd` or `snapshot.archive.odd` for a broken rule."""
    for what, is_kept in rules:
        if not is_kept(manifest):
            raise InvalidInput(
                f"{manifest.kind}.archive.odd",
                f"{path} cannot be used: its {what} is none that a {manifest.kind} has.",
                f"Export the {manifest.kind} again, with `vmoodle {manifest.kind} export`.",
            )


def accepted(check: Callable[[str], object], text: str) -> bool:
    """Tell whether a check raises nothing of ours."""
    try:
        check(text)
    except VMoodleError:
        return False
    return True


def _matching(rule: str, text_of: Callable[[Manifest], str]) -> Callable[[Manifest], bool]:
    return lambda manifest: re.fullmatch(rule, text_of(manifest)) is not None


def _has_parts(manifest: Manifest) -> bool:
    keys = moodledata.KEYS if manifest.kind == "snapshot" else {}
    wanted: dict[str, str | None] = {DATABASE_PART: None, **moodledata.CONTENT, **keys}
    layouts = {part.name: part.layout for part in manifest.parts}
    return DATABASE_PART in layouts and layouts.items() <= wanted.items()


RULES: tuple[Rule, ...] = (
    ("table prefix", lambda m: accepted(names.table_prefix, m.prefix)),
    ("Moodle version", _matching(r"[0-9]{10}(\.[0-9]{1,4})?", lambda m: m.moodle.version)),
    ("Moodle release", _matching(r"[ -~]{1,100}", lambda m: m.moodle.release)),
    ("hash of versions", _matching(r"[0-9a-f]{40}", lambda m: m.moodle.component_hash)),
    ("set of parts", _has_parts),
)
"""What holds for snapshots and templates alike."""
