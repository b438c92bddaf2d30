"""Moodle's own scripts, run by PHP: the installer, the upgrade, tasks and checks."""
