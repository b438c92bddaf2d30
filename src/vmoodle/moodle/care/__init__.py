"""What keeps a site well: maintenance, sessions, administrators and their accounts."""
