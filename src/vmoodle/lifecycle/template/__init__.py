"""Templates: captured, kept ready, carried between installations, brought to newer Moodles."""
