"""A code tree on disk: its version, plugins, configuration and requirements."""
