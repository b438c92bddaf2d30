"""Keep secrets out of what a script prints."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from urllib.parse import quote, quote_plus

from vmoodle.secret import MASK, Secret


class Redaction:
    """Replace secrets in a line of output, in each spelling that PHP may print them in."""

    def __init__(self, secrets: Sequence[Secret]) -> None:
        texts = {part for secret in secrets for part in _parts(secret.reveal())}
        spellings = {spelling for text in texts for spelling in _spellings(text)}
        self._spellings = sorted(spellings - {""}, key=len, reverse=True)

    def __call__(self, line: str) -> str:
        for spelling in self._spellings:
            line = line.replace(spelling, MASK)
        return line


def _parts(text: str) -> set[str]:
    """Return the secret and, for `--adminpass=…`, the value alone; line by line."""
    value = text.partition("=")[2] if text.startswith("-") else ""
    return {line for part in (text, value) for line in part.splitlines()}


def _spellings(text: str) -> set[str]:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    as_json = json.dumps(text)[1:-1]
    as_html = html.escape(text).replace("&#x27;", "&#039;")
    return {text, escaped, as_json, as_html, quote(text, safe=""), quote_plus(text)}
