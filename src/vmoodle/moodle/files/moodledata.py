"""What of a moodledata directory is a site's own; all else in it Moodle makes anew.

Each is kept as a `filedir`, named by content, or as a `tree`, named by path. Source: Moodle 4.5,
`lib/filestorage/file_system_filedir.php`, `lib/moodlelib.php` (language packs),
`repository/filesystem/lib.php`, `lib/classes/encryption.php`, `cache/classes/config_writer.php`.
"""

from __future__ import annotations

from typing import Literal

Layout = Literal["filedir", "tree"]

CONTENT: dict[str, Layout] = {"filedir": "filedir", "lang": "tree", "repository": "tree"}
"""What goes with every copy of the site."""

KEYS: dict[str, Layout] = {"secret": "tree"}
"""What opens encrypted settings: it goes back to the site itself, and into no other."""

MACHINERY: dict[str, Layout] = {"muc": "tree"}
"""Which caches the site uses on this machine: it stays where it is, and goes nowhere."""
