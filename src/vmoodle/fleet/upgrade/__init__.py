"""Upgrades of many sites: the codebase they go to, the room they need, and who goes in a run."""
