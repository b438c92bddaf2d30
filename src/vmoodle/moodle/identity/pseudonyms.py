"""Made-up people: names from lists, by a hash of the account's id, as SQL of both engines."""

from __future__ import annotations

from collections.abc import Sequence

FIRST_NAMES = (
    "Ada", "Aisha", "Alex", "Amara", "Ana", "Andrea", "Anouk", "Arjun", "Ben",
    "Bianca", "Carla", "Chen", "Clara", "Dana", "Daniel", "Darya", "David", "Diego",
    "Elena", "Elif", "Emil", "Emma", "Eva", "Fatima", "Felix", "Finn", "Freya",
    "Gabriel", "Grace", "Hana", "Hugo", "Ida", "Ines", "Iris", "Ivan", "Jana",
    "Jonas", "Julia", "Kai", "Karim", "Kofi", "Lea", "Leila", "Leo", "Lin",
    "Luca", "Lucia", "Maja", "Marco", "Maria", "Mateo", "Mei", "Mia", "Milan",
    "Nadia", "Nina", "Noah", "Nora", "Olga", "Omar", "Oscar", "Petra", "Priya",
    "Rania",
)  # fmt: skip
LAST_NAMES = (
    "Abel", "Adler", "Amin", "Arden", "Baker", "Bauer", "Bello", "Berg", "Blake",
    "Bose", "Brook", "Carter", "Castro", "Chan", "Costa", "Cruz", "Dale", "Dean",
    "Diaz", "Duarte", "Eklund", "Ellis", "Faber", "Farah", "Fields", "Fischer", "Ford",
    "Garcia", "Gill", "Glover", "Gray", "Haas", "Hall", "Hansen", "Hart", "Hill",
    "Ito", "Jensen", "Kaya", "Keller", "Khan", "Kim", "Klein", "Kovac", "Lang",
    "Larsen", "Lee", "Lim", "Lopes", "Marsh", "Meyer", "Mills", "Moreno", "Novak",
    "Okoro", "Park", "Patel", "Perez", "Reed", "Rossi", "Sato", "Silva", "Stone",
    "Weber",
)  # fmt: skip


def person_value(kind: str, digest: str) -> str:
    """Return the SQL of a made-up value; `digest` is the SQL of 32 hexadecimal digits.

    User names of two people are the same once in 2^48 pairs; names repeat, as names do.
    """
    return _VALUES[kind].replace("{h}", digest)


def _choose(names: Sequence[str], digits: str) -> str:
    cases = " ".join(
        f"WHEN '{number:02x}' THEN '{names[number % len(names)]}'" for number in range(256)
    )
    return f"CASE {digits} {cases} END"


_VALUES = {
    "person_username": "CONCAT('user', SUBSTR({h}, 1, 12))",
    "person_email": "CONCAT('user', SUBSTR({h}, 1, 12), '@example.invalid')",
    "person_firstname": _choose(FIRST_NAMES, "SUBSTR({h}, 20, 2)"),
    "person_lastname": _choose(LAST_NAMES, "SUBSTR({h}, 25, 2)"),
}
