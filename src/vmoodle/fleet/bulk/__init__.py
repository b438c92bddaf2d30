"""Calls about lists of sites: read from files, confirmed, and what came of each."""
