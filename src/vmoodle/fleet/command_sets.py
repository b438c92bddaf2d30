"""Which commands there are: VMoodle's own sets, and those of other packages.

A package adds sets by the entry-point group `vmoodle.commands`; an entry names a module with
command classes, or one such class. A set that cannot be used is reported and takes nothing else
with it.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType

from vmoodle.errors import NotFound, VMoodleError
from vmoodle.fleet.command import AnyCommand, Command, refuse_malformed
from vmoodle.near import near

GROUP = "vmoodle.commands"
OWN = "vmoodle"


@dataclass(frozen=True)
class CommandSet:
    """The commands of one module and the package they come from, or why there are none."""

    name: str
    package: str
    commands: tuple[type[AnyCommand], ...] = ()
    fault: str = ""


@dataclass
class Commands:
    """Every command by its name, and the sets they come from."""

    sets: list[CommandSet]
    by_name: dict[str, type[AnyCommand]] = field(default_factory=dict)

    def find(self, name: str) -> type[AnyCommand]:
        """Return a command; raise NotFound `command.unknown` with what is near."""
        if name in self.by_name:
            return self.by_name[name]
        broken = [one for one in self.sets if one.fault]
        hint = near(name, self.by_name, "`vmoodle command list` shows them.", alike=0.5)
        if broken:
            hint += f" {len(broken)} command set(s) could not be loaded."
        raise NotFound("command.unknown", f"There is no command {name!r}.", hint)


def load() -> Commands:
    """Return all commands there are. VMoodle's own come first: nobody takes their names."""
    sources: list[tuple[str, str, Callable[[], object]]] = [
        (name, OWN, source) for name, source in _own()
    ]
    found = sorted(entry_points(group=GROUP), key=lambda entry: (_package(entry), entry.name))
    sources += [(entry.name, _package(entry), entry.load) for entry in found]
    loaded = Commands([])
    for name, package, source in sources:
        loaded.sets.append(_set(name, package, source, loaded.by_name))
    return loaded


def find(name: str) -> type[AnyCommand]:
    """Return a command, loading no more sets than those of its first word where it is there.

    Raise NotFound `command.unknown`. Nobody takes the names of VMoodle's own, so that the command
    is the one that `load` gives.
    """
    word = name.partition(".")[0]
    found: dict[str, type[AnyCommand]] = {}
    for module, source in _own():
        if word and module.startswith(word):
            _set(module, OWN, source, found)
    return found[name] if name in found else load().find(name)


def _own() -> Iterator[tuple[str, Callable[[], ModuleType]]]:
    """Give the names of VMoodle's own sets, each with what loads it."""
    from vmoodle.fleet import commands

    for module in pkgutil.iter_modules(commands.__path__):
        yield module.name, _importer(f"{commands.__name__}.{module.name}")


def _importer(name: str) -> Callable[[], ModuleType]:
    return lambda: importlib.import_module(name)


def _set(
    name: str,
    package: str,
    source: Callable[[], object],
    taken: dict[str, type[AnyCommand]],
) -> CommandSet:
    """Load one set and enter its commands, all or none."""
    try:
        classes = tuple(_classes(source()))
        for one in classes:
            refuse_malformed(one)
    except VMoodleError as error:
        return CommandSet(name, package, fault=error.message)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a stranger's module does
        return CommandSet(name, package, fault=f"{type(error).__name__}: {error}".rstrip(": "))
    names = [one.name for one in classes]
    twice = sorted({one for one in names if one in taken or names.count(one) > 1})
    if not classes or twice:
        why = f"The command {twice[0]} is there already." if twice else "It has no command."
        return CommandSet(name, package, fault=why)
    taken |= dict(zip(names, classes, strict=True))
    return CommandSet(name, package, classes)


def _classes(source: object) -> Iterator[type[AnyCommand]]:
    """Give the command classes of a module, or the class itself."""
    if isinstance(source, type) and issubclass(source, Command):
        yield source
        return
    if not isinstance(source, ModuleType):
        raise TypeError("the entry point names neither a module nor a command class")
    for _name, one in inspect.getmembers(source, inspect.isclass):
        # What is cheap to tell first: most of what a module has is imported from elsewhere.
        if one.__module__ == source.__name__ and "name" in vars(one) and issubclass(one, Command):
            yield one


def _package(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist else "?"
