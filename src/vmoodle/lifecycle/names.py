"""The names administrators give: what a shortname, a label, a server's name may look like."""

from __future__ import annotations

import re

from vmoodle.errors import InvalidInput

_SHORTNAME = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,38}[a-z0-9])?")
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,58}[A-Za-z0-9])?")
_LABEL_KEY = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,58}[a-z0-9])?")
_SETTING = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,99}")
_TABLE_PREFIX = re.compile(r"[a-z][a-z0-9_]{0,9}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# PHP's strip_tags() takes for a tag what follows a < that has no space behind it, to the end.
_TAG = re.compile(r"<(?! )")
# What PARAM_TEXT leaves: texts in several languages; beside them no other < at all.
_MULTILANG = {
    "</lang>": re.compile(r'<lang lang="[a-zA-Z0-9_-]+"\s*>[^<]*</lang>'),
    "</span>": re.compile(
        r'<span(?:\s+lang="[a-zA-Z0-9_-]+"|\s+class="multilang"){2}\s*>[^<]*</span>'
    ),
}
# Loose on purpose: Moodle's installer applies its own rule; this refuses what no mail server takes.
_EMAIL = re.compile(r"[^@\s\x00-\x1f]+@[A-Za-z0-9.-]+")

RESERVED_SHORTNAMES = frozenset({"all", "fleet", "none"})
FULL_NAME_LENGTH = 254


def shortname(text: str) -> str:
    """Return a site's shortname when it is usable; raise InvalidInput."""
    if not _SHORTNAME.fullmatch(text) or text in RESERVED_SHORTNAMES:
        raise InvalidInput(
            "site.shortname.invalid",
            f"{text!r} cannot be a shortname.",
            "1 to 40 of a-z, 0-9, - and _, beginning and ending with a letter or digit; not "
            + ", ".join(sorted(RESERVED_SHORTNAMES))
            + ".",
        )
    return text


def table_prefix(text: str) -> str:
    """Return a table prefix when Moodle and both engines take it; raise InvalidInput."""
    if not _TABLE_PREFIX.fullmatch(text):
        raise InvalidInput(
            "site.prefix.invalid",
            f"{text!r} cannot be a table prefix.",
            "A letter a-z, then at most 9 of a-z, 0-9 and _, as mdl_.",
        )
    return text


def template_name(text: str) -> str:
    """Return a template's name when it is usable: as a shortname is; raise InvalidInput."""
    if not _SHORTNAME.fullmatch(text):
        raise InvalidInput(
            "template.name.invalid",
            f"{text!r} cannot be the name of a template.",
            "1 to 40 of a-z, 0-9, - and _, beginning and ending with a letter or digit.",
        )
    return text


def full_name(text: str) -> str:
    """Return a site's full name when Moodle can hold it; raise InvalidInput."""
    if not text.strip() or len(text) > FULL_NAME_LENGTH or _CONTROL.search(text):
        raise InvalidInput(
            "site.name.invalid",
            "The name of a site is 1 to 254 characters, none of them a control character.",
            "Quotes, semicolons, accents and any script are fine.",
        )
    if _has_tag(text):
        # PARAM_TEXT (Moodle 4.5, lib/classes/param.php) strips tags: the site would be called else.
        raise InvalidInput(
            "site.name.tag",
            f"Moodle takes what looks like a tag out of a name, as in {text.strip()!r}.",
            "Leave the tag out; a < is fine where a space follows it, as in 1 < 2.",
        )
    return text.strip()


def _has_tag(text: str) -> bool:
    for end, multilang in _MULTILANG.items():
        if end in text:
            return "<" in multilang.sub("", text)
    return bool(_TAG.search(text))


def email(text: str) -> str:
    """Return an e-mail address when it looks like one; raise InvalidInput."""
    if not _EMAIL.fullmatch(text) or len(text) > 100:
        raise InvalidInput(
            "site.email.invalid",
            f"{text!r} is not an e-mail address.",
            "Something like admin@example.com, at most 100 characters.",
        )
    return text


def admin_user(text: str) -> str:
    """Return a Moodle user name when Moodle takes it; raise InvalidInput."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9._@-]{0,99}", text) or text == "guest":
        raise InvalidInput(
            "site.admin.invalid",
            f"{text!r} cannot be the administrator's user name.",
            "Lower-case letters, digits and . _ @ -; not guest.",
        )
    return text


def thing(kind: str, text: str) -> str:
    """Return the name of a server or codebase when it is usable; raise InvalidInput."""
    if not _NAME.fullmatch(text):
        raise InvalidInput(
            f"{kind}.name.invalid",
            f"{text!r} cannot name a {kind}.",
            "1 to 60 letters, digits and . _ -, beginning and ending with a letter or digit.",
        )
    return text


def labels(texts: list[str]) -> dict[str, str]:
    """Return `key=value` texts as a dictionary; raise InvalidInput."""
    parsed: dict[str, str] = {}
    for text in texts:
        key, separator, value = text.partition("=")
        usable = _LABEL_KEY.fullmatch(key) and len(value) <= 200 and not _CONTROL.search(value)
        if not separator or not usable:
            raise InvalidInput(
                "label.invalid",
                f"{text!r} is not a label.",
                "Labels are key=value, as in --label region=north; keys are a-z, 0-9, . _ -.",
            )
        if parsed.get(key, value) != value:
            raise InvalidInput(
                "label.twice",
                f"The label {key} is given twice, as {parsed[key]!r} and as {value!r}.",
                "A site has one value of a label; say one.",
            )
        parsed[key] = value
    return parsed


def setting(text: str) -> str:
    """Return the name of a Moodle setting or component when it is one; raise InvalidInput."""
    if not _SETTING.fullmatch(text):
        raise InvalidInput(
            "forced.name.invalid",
            f"{text!r} is not the name of a Moodle setting.",
            "Letters, digits and _, as in debugdisplay or auth_ldap.",
        )
    return text
