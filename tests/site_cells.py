"""A site's database cell by cell, and what the identity table lets differ between two of them."""

from __future__ import annotations

from vmoodle.engines.protocol import SiteConnection
from vmoodle.moodle.database.site_schema import read_schema
from vmoodle.moodle.identity.entry import COPY_CONCERNS, Action, Columns, Settings, Table
from vmoodle.moodle.identity.table import ENTRIES

Cell = tuple[str, str, str]
"""Where something stands: (table, key of the row, column); a setting's key is its names."""
Cells = dict[Cell, object]

# Two siblings of one source that agree in one of these are one site to somebody.
MUST_DIFFER: frozenset[Cell] = frozenset(
    {
        ("config", "core/siteidentifier", "value"),
        ("config", "core/calendar_exportsalt", "value"),
        ("config", "core/badges_badgesalt", "value"),
        ("config", "core/noreplyaddress", "value"),
        ("config_plugins", "mod_lti/kid", "value"),
        ("config_plugins", "mod_lti/privatekey", "value"),
        ("course", "1", "fullname"),
        ("course", "1", "shortname"),
        ("user", "2", "email"),
        ("user", "2", "password"),
        ("mnet_host", "1", "wwwroot"),
    }
)


def cells(connection: SiteConnection) -> Cells:
    """Return every cell of the database."""
    found: Cells = {}
    for table, columns in read_schema(connection).tables.items():
        for row in connection.query(f"SELECT {', '.join(columns)} FROM {{{table}}}"):
            values = dict(zip(columns, row, strict=True))
            key = str(values["id"])
            if table in ("config", "config_plugins"):
                key = f"{values.get('plugin', 'core')}/{values['name']}"
            for column, value in values.items():
                if column != "id" or not key.count("/"):
                    found[table, key, column] = value
    return found


def declared(cell: Cell, actions: set[Action] | None = None) -> bool:
    """Tell whether the identity table lets a copy's cell differ."""
    table, key, column = cell
    for entry in ENTRIES:
        if entry.table != table or entry.concern not in COPY_CONCERNS:
            continue
        if actions is not None and entry.action not in actions:
            continue
        what = entry.place
        if isinstance(what, Table) or (isinstance(what, Columns) and column in what.names):
            return True
        if isinstance(what, Settings) and any(key == f"{what.component}/{n}" for n in what.names):
            return True
    return False


def differing(one_site: Cells, other: Cells) -> set[Cell]:
    """Return where two databases differ, a row that only one of them has included."""
    missing = object()
    return {
        cell
        for cell in one_site.keys() | other.keys()
        if one_site.get(cell, missing) != other.get(cell, missing)
    }
