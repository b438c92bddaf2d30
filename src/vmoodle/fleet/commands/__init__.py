"""The command sets VMoodle brings: one module a set, found by their being here."""
