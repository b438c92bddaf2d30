"""What an administrator gives a name and puts sites on: codebases and database servers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from django.db import IntegrityError, transaction
from django.db.models import Manager, ProtectedError

from vmoodle.errors import Conflict, InvalidInput, NotFound
from vmoodle.registry import operations
from vmoodle.registry.models import Codebase, DatabaseServer, Site

Thing = TypeVar("Thing", bound=Codebase | DatabaseServer)


class Named(Generic[Thing]):
    """Finds the rows of one of the two; `noun` is its word on the command line and in codes."""

    def __init__(self, rows: Manager[Thing], noun: str, title: str, *, first: str) -> None:
        self._rows, self._noun, self._title, self._first = rows, noun, title, first

    def every(self) -> list[Thing]:
        """Return all of them by name."""
        return list(self._rows.order_by("name"))

    def find(self, name: str) -> Thing:
        """Return the one of a name; raise NotFound."""
        row = self._rows.filter(name=name).first()
        if row is None:
            raise NotFound(
                f"{self._noun}.unknown",
                f"There is no {self._title} {name!r}.",
                f"`vmoodle {self._noun} list` shows them; `vmoodle {self._noun} add` adds one.",
            )
        return row

    def chosen(self, name: str) -> Thing:
        """Return the named one, or, when no name is given, the only one there is."""
        if name:
            return self.find(name)
        rows = list(self._rows.order_by("id")[:2])
        if not rows:
            raise InvalidInput(f"{self._noun}.none", f"No {self._title} is known yet.", self._first)
        if len(rows) > 1:
            raise InvalidInput(
                f"{self._noun}.choose",
                f"There is more than one {self._title}.",
                f"Say which with --{self._noun}; `vmoodle {self._noun} list` shows them.",
            )
        return rows[0]

    def count_sites(self, row: Thing) -> int:
        """Return how many sites are on it."""
        return Site.objects.filter(**{self._noun: row}).count()

    def refuse_used(self, row: Thing) -> None:
        """Raise Conflict when sites are on it, or operations that have not ended need it."""
        count = self.count_sites(row)
        if count:
            raise Conflict(
                f"{self._noun}.used",
                f"{count} site(s) are on the {self._title} {row.name}.",
                f"`vmoodle site list --{self._noun} {row.name}` shows them.",
            )
        users = operations.under_way_with(**{self._noun: row.name})
        if users:
            raise Conflict(
                f"{self._noun}.used",
                f"{len(users)} operation(s) need the {self._title} {row.name}: "
                + ", ".join(user.id for user in users),
                f"Let them end first: vmoodle operation show {users[0].id}",
            )

    def forget(self, row: Thing, refuse_used: Callable[[Thing], None]) -> None:
        """Remove its row unless it is used by then; raise Conflict as `refuse_used` does."""
        try:
            with transaction.atomic():
                refuse_used(row)
                self._rows.filter(id=row.id).delete()
        except (ProtectedError, IntegrityError) as error:
            refuse_used(row)
            raise Conflict(
                f"{self._noun}.used",
                f"The {self._title} {row.name} was just taken into use.",
                f"Nothing was removed. `vmoodle {self._noun} list` shows what is on it.",
            ) from error
