"""VMoodle: one Moodle code tree, many independent Moodle sites."""

__version__ = "0.1.0"
