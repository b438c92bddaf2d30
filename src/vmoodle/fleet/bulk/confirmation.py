"""Whether a person confirmed what ends many sites: in a way that no slip and no old script does."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from vmoodle.errors import Refused
from vmoodle.fleet.parameter_words import called


def phrase(names: Sequence[str]) -> str:
    """Return what confirms these sites: the one's shortname, or their number and a mark of them.

    The mark is another as soon as one of the sites is another: a phrase that was seen for a list
    never fits a list that has changed since.
    """
    if len(names) == 1:
        return names[0]
    mark = hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest()[:6]
    return f"{len(names)}-{mark}"


def confirms(names: Sequence[str], typed: str, *, shown: bool = False) -> bool:
    """Tell whether what was typed confirms these sites.

    It does when it is their phrase, or all their shortnames, with commas. Where the list was
    `shown` to the person just now, the number of several is enough.
    """
    said = [word.strip() for word in typed.split(",")]
    if typed == phrase(names) or sorted(said) == sorted(names):
        return True
    return shown and len(names) > 1 and typed == str(len(names))


def refuse_unconfirmed_change(
    names: Sequence[str],
    fleet: int,
    share: float,
    *,
    yes: bool,
    typed: str,
    shown: bool = False,
) -> None:
    """Raise Refused `run.unconfirmed` when a change on these sites was not confirmed.

    A plain yes is enough for one site, and for up to the `share` of the sites of the fleet; for
    more it takes what confirms exactly these.
    """
    large = len(names) > 1 and len(names) > share * fleet
    typed = typed.strip()
    if confirms(names, typed, shown=shown) or (shown and typed == str(len(names))):
        return
    if yes and not large:
        return
    enough = "" if large else f"{called('yes')}, or "
    raise Refused(
        "run.unconfirmed",
        f"{len(names)} of {fleet} site(s) would be changed and this was not confirmed; nothing "
        "was changed.",
        f"When it is these: {enough}{called('confirm')} {phrase(names)}. {called('dry_run')} only "
        "shows what would be done.",
    )


def refuse_unconfirmed_loss(run_id: str, undoable: Sequence[str]) -> None:
    """Raise Refused `run.unconfirmed` when a run would be deleted that can still be taken back."""
    if undoable:
        raise Refused(
            "run.unconfirmed",
            f"Run {run_id} can still be taken back on {len(undoable)} site(s), and what that takes "
            "would be deleted; nothing was.",
            f"When that may be lost: {called('yes')}. To take it back: vmoodle run undo {run_id}",
        )


def refuse_unconfirmed(names: Sequence[str], typed: str, call: str, *, shown: bool = False) -> None:
    """Raise Refused, with the list and what would confirm it, when that was not typed.

    `call` is the command, without what confirms it.
    """
    if confirms(names, typed, shown=shown):
        return
    listed = ", ".join(sorted(names))
    raise Refused(
        "site.delete.unconfirmed",
        f"{len(names)} site(s) are meant and this was not confirmed; nothing was deleted: "
        f"{listed}.",
        f"When it is these: {call} {called('confirm')} {phrase(names)}",
    )
