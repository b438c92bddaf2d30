"""Which sites a call is about: the expression, and what it means in the registry."""
