"""Do one thing to many items in several threads, holding few of them at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

_GROUP = 16


def each(
    act: Callable[[_Item], _Result], items: Iterable[_Item], *, threads: int
) -> Iterator[_Result]:
    """Yield the results in order; the first error ends it, what has not begun is not begun."""
    source = iter(items)

    def some(group: list[_Item]) -> list[_Result]:
        return [act(item) for item in group]

    waiting: deque[Future[list[_Result]]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="store") as pool:
        try:
            while True:
                while len(waiting) < 2 * threads and (group := list(islice(source, _GROUP))):
                    waiting.append(pool.submit(some, group))
                if not waiting:
                    return
                yield from waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
