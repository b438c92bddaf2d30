"""Where what went wrong inside is written: a file of the home, never a person's terminal."""

from __future__ import annotations

import logging
import os


def make_private(path: os.PathLike[str]) -> None:
    """Make an empty file for its owner alone where there is none; SQLite keeps its mode."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))


def log_to(path: os.PathLike[str], *names: str) -> None:
    """Send what these loggers are told to a file, and nowhere else; once in a process."""
    make_private(path)
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    for name in names:
        logger = logging.getLogger(name)
        logger.propagate = False
        if not any(isinstance(known, logging.FileHandler) for known in logger.handlers):
            logger.addHandler(handler)
            logger.setLevel(logging.WARNING)
