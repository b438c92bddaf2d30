"""The command line: one module per noun. It parses, calls one function of the core, and renders.

Only typer is imported when a module of this package is; everything heavy is imported where it is
used, so that `vmoodle --help` answers at once.
"""
