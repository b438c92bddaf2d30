"""Table placeholders: `{user}` in SQL stands for the site's own table, as in Moodle's `$DB`."""

from __future__ import annotations

import re

# What may hold braces that are no placeholder comes first: text, quoted names and comments.
_COMMON = r"""
    "(?:[^"]|"")*" | `(?:[^`]|``)*` | /\*.*?\*/ | --[^\n]*
  | \$(?P<tag>[A-Za-z_]*)\$.*?\$(?P=tag)\$
  | \{(?P<table>[a-z][a-z0-9_]*)\}
"""
_STANDARD_TEXT = r"[eE]'(?:[^'\\]|''|\\.)*' | '(?:[^']|'')*'"
_BACKSLASH_TEXT = r"'(?:[^'\\]|''|\\.)*' | \#[^\n]*"
_FLAGS = re.VERBOSE | re.DOTALL
_STANDARD = re.compile(f"{_STANDARD_TEXT} | {_COMMON}", _FLAGS)
_BACKSLASH = re.compile(f"{_BACKSLASH_TEXT} | {_COMMON}", _FLAGS)


def expand(sql: str, prefix: str, *, backslash_escapes: bool = False) -> str:
    """Return the SQL with each `{table}` replaced by the prefixed name.

    Braces inside text, quoted names and comments stay. `backslash_escapes` says that a backslash
    escapes the next character of a text, as in MariaDB and MySQL.
    """

    def own_table(match: re.Match[str]) -> str:
        return prefix + match["table"] if match["table"] else match[0]

    return (_BACKSLASH if backslash_escapes else _STANDARD).sub(own_table, sql)
