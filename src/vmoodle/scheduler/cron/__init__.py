"""Cron of all sites: PHP only where something is due, within a budget, with a promised gap."""
