"""Which sites an expression means: its tree worked out over the registry, queries asked last."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from vmoodle.errors import InvalidInput, NotFound, VMoodleError
from vmoodle.fleet.targets.expression import (
    All,
    Any,
    Attribute,
    Contains,
    Expression,
    Glob,
    Group,
    Name,
    Not,
    Regex,
    ValueQuery,
    atoms,
    read_expression,
    wrong,
)
from vmoodle.registry import codebases, runs, servers, sites, target_groups
from vmoodle.registry import targets as registry_targets
from vmoodle.registry.models import SiteState
from vmoodle.registry.targets import SiteFacts

Ask = Callable[[str, Sequence[int]], Mapping[int, "bool | VMoodleError"]]
"""Asks sites, by their ids, a query: whether each answers with something true, or why not."""


@dataclass(frozen=True)
class Choice:
    """What an expression means: sites by shortname, and those left out with the reason.

    `named` are those that it names in full.
    """

    sites: tuple[SiteFacts, ...]
    undecided: Mapping[str, VMoodleError] = field(default_factory=dict)
    named: frozenset[str] = frozenset()


def choose_on(text: str, ask: Ask, states: Collection[str] | None = None) -> Choice:
    """Return the sites that an expression means.

    Of those in other states than `states` only those named in full are meant. A site that could
    not be asked is never meant, whatever the query stands behind. Raise InvalidInput
    `target.expression`, `target.nothing`, `target.word`, NotFound `site.unknown`,
    `target.group.unknown`, `target.none`.
    """
    working = _Working(text, ask)
    choice = working.choose(states)
    if not choice.sites and not choice.undecided:
        which = f" that is {' or '.join(sorted(states))}" if states else ""
        raise NotFound(
            "target.none",
            f"There is no site{which} for {text}.",
            "`vmoodle target show` shows what an expression means.",
        )
    return choice


def check_group(name: str, text: str) -> None:
    """Raise InvalidInput when an expression cannot be saved under a name: unread, or in a circle.

    Raise NotFound for a group in it that there is not.
    """
    groups = target_groups.texts() | {name: text}
    _expand(read_expression(text), groups, (name,), text)


class _Working:
    """One expression being worked out over all sites."""

    def __init__(self, text: str, ask: Ask) -> None:
        self._text = text
        self._ask = ask
        self._tree = read_expression(text)
        if any(isinstance(atom, Group) for atom in atoms(self._tree)):
            self._tree = _expand(self._tree, target_groups.texts(), (), text)
        self._every = {facts.id: facts for facts in registry_targets.facts()}
        self._ids = {facts.shortname: facts.id for facts in self._every.values()}
        self._labels: dict[int, dict[str, str]] | None = None
        self._runs: dict[Attribute, frozenset[str]] = {}
        self._undecided: dict[int, VMoodleError] = {}

    def choose(self, states: Collection[str] | None) -> Choice:
        """Return what the expression means."""
        found = atoms(self._tree)
        for atom in found:
            self._refuse_unknown(atom)
        named = frozenset(atom.name for atom in found if isinstance(atom, Name))
        universe = {
            site
            for site, facts in self._every.items()
            if states is None or facts.state in states or facts.shortname in named
        }
        chosen = self._meant(self._tree, universe) - self._undecided.keys()
        return Choice(
            tuple(facts for site, facts in self._every.items() if site in chosen),
            {
                self._every[site].shortname: self._undecided[site]
                for site in sorted(self._undecided)
            },
            named,
        )

    def _meant(self, tree: Expression, among: set[int]) -> set[int]:
        match tree:
            case Not(inner=inner):
                return among - self._meant(inner, among)
            case Any(parts=parts):
                found: set[int] = set()
                for part in sorted(parts, key=_asks):
                    found |= self._meant(part, among - found)
                return found
            case All(parts=parts):
                for part in sorted(parts, key=_asks):
                    among = self._meant(part, among)
                return among
            case ValueQuery(sql=sql):
                return self._answering(sql, among)
            case _:
                return {site for site in among if self._meets(tree, self._every[site])}

    def _answering(self, sql: str, among: set[int]) -> set[int]:
        answers = self._ask(sql, sorted(among)) if among else {}
        failed = {site: what for site, what in answers.items() if isinstance(what, VMoodleError)}
        self._undecided |= failed
        errors = [failed[site] for site in sorted(failed)]
        if (
            errors
            and len(errors) == len(answers)
            and all(isinstance(error, InvalidInput) for error in errors)
        ):
            raise errors[0]
        return {site for site, what in answers.items() if what is True}

    def _meets(self, atom: Expression, facts: SiteFacts) -> bool:
        match atom:
            case Name(name=name):
                return facts.shortname == name
            case Glob(pattern=pattern):
                return fnmatch.fnmatchcase(facts.shortname, pattern)
            case Regex(pattern=pattern):
                return bool(pattern.search(facts.shortname) or pattern.search(facts.wwwroot))
            case Contains(text=text):
                wanted = text.casefold()
                places = (facts.shortname, facts.name, facts.wwwroot)
                return any(wanted in place.casefold() for place in places)
            case Attribute():
                return self._has(atom, facts)
        raise AssertionError(atom)

    def _has(self, atom: Attribute, facts: SiteFacts) -> bool:
        match atom.key:
            case "label":
                if self._labels is None:
                    self._labels = registry_targets.labels()
                value = self._labels.get(facts.id, {}).get(atom.name)
                return value is not None and fnmatch.fnmatchcase(value, atom.value)
            case "state":
                return fnmatch.fnmatchcase(facts.state, atom.value)
            case "codebase":
                return fnmatch.fnmatchcase(facts.codebase, atom.value)
            case "server":
                return fnmatch.fnmatchcase(facts.server, atom.value)
            case "run" | "failed" | "unknown":
                return facts.shortname in self._of_run(atom)
        release = facts.release.split(" ", 1)[0]
        return any(fnmatch.fnmatchcase(one, atom.value) for one in (release, facts.version))

    def _of_run(self, atom: Attribute) -> frozenset[str]:
        if atom not in self._runs:
            run = runs.find(atom.value)
            match atom.key:
                case "failed":
                    names = runs.failed_names(run)
                case "unknown":
                    names = runs.unknown_names(run)
                case _:
                    names = runs.names(run.id)
            self._runs[atom] = frozenset(names)
        return self._runs[atom]

    def _refuse_unknown(self, atom: Expression) -> None:
        """Raise for a word that nothing is called: behind a ! it would mean every site."""
        match atom:
            case Name(name=name) if name not in self._ids:
                sites.find(name)
            case Attribute(key="run" | "failed" | "unknown"):
                self._of_run(atom)
            case Attribute(key=key, value=value, at=at):
                known = _known(key)
                if known is not None and not any(fnmatch.fnmatchcase(k, value) for k in known):
                    said = ", ".join(sorted(known)) or "none"
                    raise InvalidInput(
                        "target.word",
                        f"There is no {key} {value!r} (at character {at + 1}).",
                        f"There are: {said}.",
                    )


def _known(key: str) -> list[str] | None:
    """Return all values that a fact can have, None where that is not known."""
    match key:
        case "state":
            return list(SiteState.values)
        case "codebase":
            return [row.name for row in codebases.every()]
        case "server":
            return [row.name for row in servers.every()]
    return None


def _asks(tree: Expression) -> bool:
    """Tell whether sites must be asked: what the registry knows narrows first."""
    return any(isinstance(atom, ValueQuery) for atom in atoms(tree))


def _expand(
    tree: Expression, groups: Mapping[str, str], above: tuple[str, ...], text: str
) -> Expression:
    """Return the tree with each group's own in its place."""
    match tree:
        case Group(name=name, at=at):
            if name in above:
                circle = " → ".join(f"@{one}" for one in (*above, name))
                raise wrong(text, at, f"The groups go in a circle: {circle}", "Break the circle.")
            if name not in groups:
                target_groups.find(name)
            return _expand(read_expression(groups[name]), groups, (*above, name), text)
        case Not(inner=inner):
            return Not(_expand(inner, groups, above, text))
        case All(parts=parts):
            return All(tuple(_expand(part, groups, above, text) for part in parts))
        case Any(parts=parts):
            return Any(tuple(_expand(part, groups, above, text) for part in parts))
        case _:
            return tree
