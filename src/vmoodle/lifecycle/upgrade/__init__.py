"""Upgrades: one site moved to another codebase by Moodle's own upgrade, and many in waves."""
