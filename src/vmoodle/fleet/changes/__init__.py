"""What commands that change settings, roles or plugins have in common."""
