"""SQL as commands take it: its text, for either engine, and the library of saved queries."""
