"""A run: a command ordered on sites, tried, carried out, kept, shown, compared and exported."""
