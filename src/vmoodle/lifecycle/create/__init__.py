"""New sites: what is asked for, and the ways to make it, installed or copied."""
