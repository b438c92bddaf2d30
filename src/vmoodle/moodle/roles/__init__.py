"""Roles of a site: read, compared, planned, changed by the rules of Moodle."""
