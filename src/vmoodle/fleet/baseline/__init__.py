"""Baselines: the document, which sites its exceptions hold for, and one captured from a site."""
