"""Moodle Network (MNET): the protocol that Moodles speak to each other, spoken by VMoodle."""
