"""Which sites a call is about: names, globs, labels, all."""

from __future__ import annotations

import pytest
from tests.published_sites import make_site, set_state

from vmoodle.errors import InvalidInput, NotFound
from vmoodle.installation import Installation


@pytest.fixture
def fleet(installation: Installation) -> Installation:
    """Three sites: `north1` and `north2` labelled, `south1` suspended."""
    from vmoodle.registry import sites

    for name in ("north1", "north2", "south1"):
        site = make_site(installation, name)
        if name.startswith("north"):
            sites.set_labels(site, {"region": "north"})
    set_state(site, "suspended")
    return installation


def chosen(*patterns: str, labels: tuple[str, ...] = (), **more: object) -> list[str]:
    from vmoodle.fleet.targets.choose import Selection, choose

    states = more.pop("states", None)
    selection = Selection(patterns, labels, **more)  # type: ignore[arg-type]
    return [site.shortname for site in choose(selection, states)]  # type: ignore[arg-type]


@pytest.mark.usefixtures("fleet")
def test_names_globs_labels_and_all_choose_each_site_once() -> None:
    assert chosen("south1", "north1", "north1") == ["north1", "south1"]
    assert chosen("north*", "north1") == ["north1", "north2"]
    assert chosen("*1", labels=("region=north",)) == ["north1"]
    assert chosen(labels=("region=north",)) == ["north1", "north2"]
    assert chosen(all_sites=True) == ["north1", "north2", "south1"]


@pytest.mark.usefixtures("fleet")
def test_a_site_in_another_state_is_meant_when_it_is_named_and_else_not() -> None:
    assert chosen("*1", states={"enabled"}) == ["north1"]
    assert chosen("south1", "north1", states={"enabled"}) == ["north1", "south1"]


@pytest.mark.usefixtures("fleet")
def test_what_no_site_meets_is_said_and_never_taken_for_all() -> None:
    for patterns, labels, code in (
        (("nroth*",), (), "target.none"),
        (("north1", "x*"), (), "target.none"),
        ((), ("region=south",), "target.none"),
        (("south1",), ("region=north",), "target.none"),
        (("nobody",), (), "site.unknown"),
    ):
        with pytest.raises(NotFound) as raised:
            chosen(*patterns, labels=labels)
        assert raised.value.code == code


def test_saying_nothing_or_too_much_is_refused(installation: Installation) -> None:
    for patterns, all_sites, code in (
        ((), False, "target.nothing"),
        (("north1",), True, "target.all"),
    ):
        with pytest.raises(InvalidInput) as raised:
            chosen(*patterns, all_sites=all_sites)
        assert raised.value.code == code
