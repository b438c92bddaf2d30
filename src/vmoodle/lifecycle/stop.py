"""Stop what VMoodle started and left running in a home."""

from __future__ import annotations

from vmoodle.home import Home


def stop_all(home: Home) -> list[str]:
    """Stop the PHP server and the embedded PostgreSQL of a home; say what was done."""
    from vmoodle.engines.embedded import EmbeddedPostgreSQL
    from vmoodle.moodle.php.server import stop_detached

    said = []
    if stop_detached(home.php_server_file):
        said.append("stopped the PHP server")
    if home.embedded.exists() and EmbeddedPostgreSQL(home.embedded).stop():
        said.append("stopped the embedded PostgreSQL")
    return said or ["nothing was running"]
