"""Moodle's cron as its tables have it: what is due, and what Moodle leaves alone."""
