"""Of sites that can be upgraded, those to rehearse on: the largest, the oldest, some at random."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Amounts:
    """How many of each; one site may be several of these."""

    largest: int = 1
    oldest: int = 1
    at_random: int = 1


@dataclass(frozen=True)
class Candidate:
    """A site that can be upgraded: the size of its database, and since when it is (Unix time)."""

    shortname: str
    size: int
    installed_at: int


def pick(
    found: Sequence[Candidate], amounts: Amounts, *, chance: random.Random | None = None
) -> dict[str, tuple[Candidate, list[str]]]:
    """Return the sites that are chosen, each with why; those at random are none of the others."""
    chosen: dict[str, tuple[Candidate, list[str]]] = {}

    def take(some: Sequence[Candidate], why: str) -> None:
        for one in some:
            chosen.setdefault(one.shortname, (one, []))[1].append(why)

    take(sorted(found, key=lambda one: -one.size)[: amounts.largest], "largest")
    take(sorted(found, key=lambda one: one.installed_at)[: amounts.oldest], "oldest")
    rest = [one for one in found if one.shortname not in chosen]
    drawn = chance or random.SystemRandom()
    take(drawn.sample(rest, min(amounts.at_random, len(rest))), "at random")
    return chosen
