"""Work on many sites at once: which they are, and what came of it on each."""
