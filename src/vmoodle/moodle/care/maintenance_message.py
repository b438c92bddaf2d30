"""The message of a site under maintenance: HTML that Moodle shows to every visitor as it is."""

from __future__ import annotations

import html
import re

from vmoodle.errors import InvalidInput

LONGEST = 20_000
"""Characters of a message."""

_VOID = frozenset({"br", "hr", "img", "wbr"})
# Their end may be left out.
_OPTIONAL_END = frozenset({"p", "li", "dt", "dd", "tr", "td", "th", "tbody", "thead"})
_ELEMENTS = _VOID | _OPTIONAL_END | {
    "a", "abbr", "address", "b", "bdi", "bdo", "blockquote", "caption", "code", "div", "dl", "em",
    "figcaption", "figure", "h1", "h2", "h3", "h4", "h5", "h6", "i", "kbd", "mark", "ol", "pre",
    "q", "s", "section", "small", "span", "strong", "sub", "sup", "table", "time", "u", "ul",
}  # fmt: skip
_ATTRIBUTES = {
    "alt", "cite", "class", "colspan", "datetime", "dir", "height", "href", "id", "lang", "rel",
    "rowspan", "src", "start", "style", "target", "title", "type", "width",
}  # fmt: skip
_ADDRESS = re.compile(r"(?:https?://|mailto:|tel:|data:image/(?:png|jpeg|gif|webp);base64,|[/#?])")
_BEGINS = re.compile(r"<[A-Za-z/!?]")
# Stricter than a browser, so that both take the same for a tag.
_ATTRIBUTE = r"""([A-Za-z-]+)(?:\s*=\s*("[^"<>]*"|'[^'<>]*'|[^\s"'<>=`]+))?"""
_TAG = re.compile(rf"<(/?)([A-Za-z][A-Za-z0-9]*)((?:\s+{_ATTRIBUTE})*)\s*/?>")


def checked_message(text: str) -> str:
    """Return the message; raise InvalidInput `maintenance.message` for what is not to be shown.

    It may have text, links, pictures, lists and tables, and no script, form, frame or comment. What
    is opened is closed, for what comes behind it is Moodle's page.
    """
    if not text.strip():
        raise _refused("It is empty.")
    if len(text) > LONGEST:
        raise _refused(f"It has more than {LONGEST} characters.")
    if any(ord(sign) < 32 and sign not in "\t\r\n" for sign in text):
        raise _refused("It has control characters in it.")
    opened: list[str] = []
    at = 0
    while begins := _BEGINS.search(text, at):
        tag = _TAG.match(text, begins.start())
        if tag is None:
            shown = text[begins.start() :][:30]
            raise _refused(f"What begins with {shown!r} is no tag, or has no end.")
        _take(tag, opened)
        at = tag.end()
    left = [name for name in opened if name not in _OPTIONAL_END]
    if left:
        raise _refused(f"<{left[-1]}> is not closed.")
    return text


def _take(tag: re.Match[str], opened: list[str]) -> None:
    """Check a tag, and keep which elements are open behind it."""
    closes, name, attributes = tag[1], tag[2].lower(), tag[3]
    if name not in _ELEMENTS:
        raise _refused(f"<{name}> is not for a message.")
    for word, value in re.findall(_ATTRIBUTE, attributes):
        _check_attribute(name, word.lower(), html.unescape(value.strip("\"'")))
    if closes:
        while opened and opened[-1] != name and opened[-1] in _OPTIONAL_END:
            opened.pop()
        if not opened or opened.pop() != name:
            raise _refused(f"</{name}> closes nothing that is open.")
    elif name not in _VOID:
        opened.append(name)


def _check_attribute(tag: str, name: str, value: str) -> None:
    if name not in _ATTRIBUTES:
        raise _refused(f"The attribute {name} of <{tag}> is not for a message.")
    # A browser skips white space and control characters in an address.
    plain = re.sub(r"[\x00-\x20]+", "", value).lower()
    if name in ("href", "src", "cite") and not _ADDRESS.match(plain):
        raise _refused(f"{name}={value[:40]!r} is no address with http, https, mailto or tel.")
    if name == "style" and re.search(r"url\(|expression|@import|\\", plain):
        raise _refused("A style loads nothing.")


def _refused(why: str) -> InvalidInput:
    return InvalidInput(
        "maintenance.message",
        f"The message cannot be shown to visitors. {why}",
        "It is HTML: text, links, pictures, lists and tables; write &lt; and &amp; for < and &.",
    )
