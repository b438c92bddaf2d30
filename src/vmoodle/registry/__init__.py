"""The registry: what exists. Django models, migrations and the named changes of state."""
