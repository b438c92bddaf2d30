"""Plugins of a site: what is there, in which state, and how a state is changed."""
