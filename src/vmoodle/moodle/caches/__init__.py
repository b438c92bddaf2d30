"""Which of Moodle's caches a change makes stale, where they are, and how they are dropped."""
