"""Backups of the control plane: taken while it works, checked, and put into an empty home."""
