"""Write the answers of a run into a file: CSV, JSON, or Parquet where pyarrow is installed."""

from __future__ import annotations

import csv
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from vmoodle.errors import Failed, InvalidInput, Unavailable
from vmoodle.fleet.headings import Headings, shared
from vmoodle.fleet.result import merged
from vmoodle.fleet.runs.view import answers, entries, facts, matrix
from vmoodle.registry.fleet_models import Run

FORMATS = ("csv", "json", "parquet")
# A cell that begins so is a formula to a spreadsheet.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def export(run: Run, path: Path, form: str) -> int:
    """Write a run into a new file, whole or not at all; return how many rows it has.

    CSV and Parquet have the merged rows of all sites, JSON everything. Raise InvalidInput
    `run.export` for a form there is not or a file that is there, Unavailable `run.parquet`.
    """
    if form not in FORMATS:
        raise InvalidInput(
            "run.export", f"There is no form {form!r}.", f"One of {', '.join(FORMATS)}."
        )
    if path.exists():
        raise _is_there(path)
    with _whole(path, binary=form == "parquet") as file:
        if form == "csv":
            return _csv(run, file)
        return _json(run, file) if form == "json" else _parquet(run, file)


def write_json(run: Run, file: IO[str], hinted: Callable[[str, str], str] | None = None) -> int:
    """Write a run as one JSON object; its results one after the other. Return how many.

    `hinted` gives a surface's words to the hint of an error, by its code and what it is.

    Where its command compares by a matrix, the names in which sites differ are in `comparison`; an
    error that its comparison did not foresee stands there, and hides no answer. Raise as
    `Command.compare`.
    """
    # First, for it may raise: half a document is none.
    rows, problem = _comparison(run)
    head = json.dumps(facts(run), indent=2, default=str)
    file.write(head.removesuffix("\n}") + ',\n  "results": [')
    count = 0
    for one in entries(run):
        if hinted and "error" in one:
            one["error"]["hint"] = hinted(one["error"]["code"], one["error"]["hint"])
        file.write(("," if count else "") + "\n    " + json.dumps(one, default=str))
        count += 1
    file.write("\n  ]" if count else "]")
    if rows:
        file.write(',\n  "comparison": [')
        file.write(",".join(f"\n    {json.dumps(row)}" for row in rows))
        file.write("\n  ]")
    if problem:
        file.write(f',\n  "comparison_error": {json.dumps(problem)}')
    file.write("\n}\n")
    return count


def _comparison(run: Run) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Return the rows in which sites differ, and the error that a stranger's comparison met."""
    try:
        return [one.as_facts() for one in matrix(run) or () if one.differing or one.shown], {}
    except Failed as error:
        if error.code != "command.internal":
            raise
        return [], {"code": error.code, "detail": error.message, "hint": error.hint}


def _json(run: Run, file: IO[str]) -> int:
    return write_json(run, file)


def _csv(run: Run, file: IO[str]) -> int:
    headings, columns = _columns(run)
    writer = csv.DictWriter(file, columns)
    writer.writeheader()
    count = 0
    for row in merged(shared(answers(run), headings)):
        writer.writerow({name: _cell(value) for name, value in row.items()})
        count += 1
    return count


def _cell(value: object) -> object:
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value


def _columns(run: Run) -> tuple[Headings, list[str]]:
    """Return the headings, and all columns that the merged rows have, those of the first first."""
    headings = Headings(answers(run))
    found: dict[str, None] = {"site": None}
    for row in merged(shared(answers(run), headings)):
        found |= dict.fromkeys(row)
    return headings, list(found)


def _parquet(run: Run, file: IO[Any]) -> int:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise Unavailable(
            "run.parquet",
            "To write Parquet takes pyarrow, which is not installed.",
            "pip install 'vmoodle[parquet]', or export CSV or JSON.",
        ) from error
    # As text: two sites may answer with values of two types.
    headings, columns = _columns(run)
    schema = pyarrow.schema([(name, pyarrow.string()) for name in columns])
    count = 0
    with parquet.ParquetWriter(file, schema) as writer:
        for batch in _batches(merged(shared(answers(run), headings))):
            rows = [
                {name: None if row.get(name) is None else str(row[name]) for name in columns}
                for row in batch
            ]
            writer.write_table(pyarrow.Table.from_pylist(rows, schema=schema))
            count += len(rows)
    return count


def _batches(rows: Iterator[dict[str, Any]], size: int = 1000) -> Iterator[list[dict[str, Any]]]:
    batch: list[dict[str, Any]] = []
    for row in rows:
        batch.append(row)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


@contextmanager
def _whole(path: Path, *, binary: bool) -> Iterator[IO[Any]]:
    """Give a file beside the path, readable by its owner alone, that takes its place at the end.

    Raise InvalidInput `run.export` where the disk does not take it, or the path is taken by then.
    """
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            text = {} if binary else {"encoding": "utf-8", "newline": ""}
            with os.fdopen(descriptor, "wb" if binary else "w", **text) as file:  # type: ignore[call-overload]
                yield file
            # A hard link would do both in one, but not every file system has them.
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            Path(name).replace(path)
        finally:
            Path(name).unlink(missing_ok=True)
    except FileExistsError as error:
        raise _is_there(path) from error
    except OSError as error:
        raise InvalidInput(
            "run.export",
            f"{path} cannot be written: {error.strerror or error}.",
            "Name another place.",
        ) from error


def _is_there(path: Path) -> InvalidInput:
    return InvalidInput("run.export", f"{path} is there already.", "Name a new file.")
