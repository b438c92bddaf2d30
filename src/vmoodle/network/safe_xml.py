"""Foreign XML: read by defusedxml, without document types, and within limits set beforehand."""

from __future__ import annotations

import codecs
from typing import Any, Protocol
from xml.parsers.expat import ExpatError

from defusedxml.common import DefusedXmlException
from defusedxml.xmlrpc import DefusedExpatParser

from vmoodle.errors import Refused

MOST_BYTES = 8_000_000
"""What a message may have at most: a picture of 2 MB grows to 5 MB on its way."""

# What Moodle begins its envelopes with.
_DECLARATION = b'<?xml version="1.0" encoding="iso-8859-1"?>'
_ENCODINGS = {"utf-8", "iso8859-1", "ascii"}


class Target(Protocol):
    """What is told of a document while it is read; each method may raise ValueError."""

    def xml(self, encoding: Any, standalone: Any) -> None:
        """Hear that a document begins."""

    def start(self, tag: str, attrs: dict[str, str]) -> None:
        """Hear the begin of an element."""

    def data(self, text: str) -> None:
        """Hear a piece of text."""

    def end(self, tag: str) -> None:
        """Hear the end of an element."""


def parse(document: bytes, target: Target, *, most_bytes: int = MOST_BYTES) -> None:
    """Read a document into the target.

    Raise Refused `network.message.large` before a longer one is looked at, and
    `network.message.form` for what is not well-formed, declares a document type or an odd
    encoding, or what the target refuses with a ValueError.
    """
    if len(document) > most_bytes:
        raise Refused(
            "network.message.large",
            f"The message has {len(document):,} bytes; {most_bytes:,} are taken.",
            "Ask for less at once.",
        )
    if document.startswith(_DECLARATION) and document.isascii():
        # The same in UTF-8, which expat need not convert: a fifth of its time.
        document = document[len(_DECLARATION) :]
    parser = DefusedExpatParser(target, forbid_dtd=True)
    expat = parser._parser
    expat.buffer_text = True
    expat.XmlDeclHandler = _require_encoding
    try:
        # In one go: fed and then closed, expat takes half as long again.
        expat.Parse(document, True)
    except DefusedXmlException as error:
        raise malformed("it declares a document type") from error
    except (ExpatError, ValueError, LookupError) as error:
        raise malformed(str(error)) from error
    finally:
        # They hold each other, and what was read.
        del parser._parser


def malformed(why: str) -> Refused:
    """Return the error for what is no message of the protocol."""
    return Refused(
        "network.message.form",
        f"This is no message of Moodle Network: {why[:200]}.",
        "Look whether a Moodle answers there, and not a proxy, an error page or a login.",
    )


def _require_encoding(_version: str, encoding: str | None, _standalone: int) -> None:
    if encoding is not None and codecs.lookup(encoding).name not in _ENCODINGS:
        raise ValueError("its encoding is neither UTF-8 nor ISO 8859-1")
