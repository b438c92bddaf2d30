"""What Moodle is, as far as VMoodle relies on it: code trees, PHP, and Moodle's own scripts."""
