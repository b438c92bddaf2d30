"""Adoption of a Moodle that exists already: what is asked, what is looked at, the operation."""
