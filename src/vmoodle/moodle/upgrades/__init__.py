"""Upgrades of sites: whether one is pending, what it changes, and what stands in its way."""
