"""Settings of a site, of core and of plugins, and the log of their changes."""
