"""What a copy is made from, as operations keep it: `site:A`, `template:T`, `snapshot:S`."""

from __future__ import annotations

from enum import StrEnum

from vmoodle.errors import InvalidInput


class SourceKind(StrEnum):
    """Say what kind of thing a copy is made from."""

    SITE = "site"
    TEMPLATE = "template"
    SNAPSHOT = "snapshot"

    def named(self, name: str) -> str:
        """Return the source of this kind that has the name."""
        return f"{self}:{name}"


def parse_source(source: str) -> tuple[SourceKind, str]:
    """Return the kind and the name; raise InvalidInput `source.unknown` for what is no source."""
    kind, _separator, name = source.partition(":")
    if kind not in list(SourceKind):
        raise InvalidInput(
            "source.unknown",
            f"{source!r} names no source.",
            "template:NAME, site:SHORTNAME or snapshot:ID.",
        )
    return SourceKind(kind), name


def site_copied(source: str) -> str:
    """Return the shortname of the site that is copied; empty for another source and for none."""
    kind, _separator, name = source.partition(":")
    return name if kind == SourceKind.SITE else ""


def template_or_snapshot(template: str, snapshot: str) -> str:
    """Return the source of which one is given, empty for none: the site is installed.

    Raise InvalidInput `source.both`.
    """
    if template and snapshot:
        raise InvalidInput(
            "source.both",
            "A site is made from a template or from a snapshot.",
            "Give one of --template and --snapshot.",
        )
    if template:
        return SourceKind.TEMPLATE.named(template)
    return SourceKind.SNAPSHOT.named(snapshot) if snapshot else ""
