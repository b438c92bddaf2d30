"""PHP: the binary, the web account, its own web server; its source and data read without it."""
