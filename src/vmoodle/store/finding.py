"""What was found wrong with a snapshot, its files or an object of the store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

FindingCode = Literal["missing", "damaged", "contenthash", "vanished", "irregular", "list"]


@dataclass(frozen=True)
class Finding:
    """Say what is wrong with which part: `name` is a file's, empty for the part itself.

    missing, damaged: the object in the store; list: the list of files contradicts the manifest;
    contenthash: a file of Moodle's whose content is not what its name says (kept as it is);
    vanished: a file was gone before it could be read; irregular: no plain file (left out).
    """

    code: FindingCode
    part: str
    name: str
    message: str
