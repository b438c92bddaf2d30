"""The demo: three sites on one code tree, served by PHP's own server, on any machine with PHP."""
