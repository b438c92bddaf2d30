"""The `config.php` VMoodle writes into a code tree: it names the hook, the map and the codebase."""

from __future__ import annotations

from pathlib import Path

from vmoodle.moodle.config_php import VMOODLE_MARKER

FORMAT = 1

# A hook that is missing or unreadable must end as a plain 503, not as PHP's message with a path.
_TEMPLATE = """<?php  // {marker}, format {format}: the hook picks the site.
// Settings are changed with `vmoodle forced`; `vmoodle codebase check` writes this file anew.

unset($CFG);
global $CFG;
$CFG = new stdClass();

if (!@include_once({hook})) {{
    PHP_SAPI === 'cli'
        ? file_put_contents('php://stderr', "VMoodle: its hook cannot be read.\\n")
        : http_response_code(503);
    exit(1);
}}
vmoodle_hook($CFG, {map}, {codebase});

require_once(__DIR__ . '/lib/setup.php');
"""


def render_config_php(hook: Path, map_directory: Path, codebase: str) -> str:
    """Return the text of a code tree's config.php.

    It is right in both layouts: up to Moodle 5.0 `lib/` stands beside config.php, and from 5.1 on
    `lib/setup.php` there is Moodle's own shim to `public/lib/setup.php`.
    """
    return _TEMPLATE.format(
        marker=VMOODLE_MARKER,
        format=FORMAT,
        hook=_quote(str(hook)),
        map=_quote(str(map_directory)),
        codebase=_quote(codebase),
    )


def _quote(text: str) -> str:
    """Return a PHP single-quoted string."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
