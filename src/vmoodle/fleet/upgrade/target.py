"""The codebase that sites are compared with before an upgrade: their own, or one that is named."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field

from vmoodle.fleet.parameters import Constant, Parameters


class ToCodebase(Parameters):
    """The codebase that is meant."""

    to: str = Field(default="", description="A codebase by its name; each site's own without it.")
    path: Annotated[str, Constant(str)] = ""
    """Where it is, looked up when it is ordered."""

    def settled(self) -> Self:
        """Return them with the path put in; raise NotFound `codebase.unknown`."""
        # The registry's models can be had only after an installation is opened.
        from vmoodle.registry import codebases

        if not self.to:
            return self
        return self.model_copy(update={"path": codebases.find(self.to).path})

    def path_for(self, own: Path) -> Path:
        """Return the path of the tree for a site whose own is given."""
        return Path(self.path) if self.path else own
