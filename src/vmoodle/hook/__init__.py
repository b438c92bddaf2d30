"""The hook: the PHP that picks the site, the compiler of the host map it reads, and its check."""
