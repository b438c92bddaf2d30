"""Settings of Moodle and its plugins over many sites: told, compared, set, unset, copied."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import Field, model_validator

from vmoodle.errors import InvalidInput, VMoodleError
from vmoodle.fleet.asked_settings import refuse_nowhere
from vmoodle.fleet.change_rows import AS_IT_IS, LEFT, all_stay
from vmoodle.fleet.changes.settings import (
    SettingEdit,
    Wanted,
    masks,
    not_set,
    refuse_unknown,
    refuse_unset,
    take_back,
)
from vmoodle.fleet.command import Command, Comparison, Effect
from vmoodle.fleet.copy_source import FromSite, open_source
from vmoodle.fleet.own_words import without_own_words
from vmoodle.fleet.parameters import (
    Constant,
    Parameters,
    SecretParameter,
    SettledSecret,
    secret_texts,
)
from vmoodle.fleet.result import Changed, Compared, Matrix, Result, Table, compared
from vmoodle.fleet.target_site import TargetSite
from vmoodle.moodle.config.copies import CopySource, plan_copy, read_source
from vmoodle.moodle.config.names import (
    SettingName,
    parse_pattern,
    parse_setting,
    refuse_by_hand,
)
from vmoodle.moodle.config.settings import SettingValue, check_value, read_matching, read_settings
from vmoodle.secret import Secret

if TYPE_CHECKING:
    from vmoodle.engines.protocol import SiteConnection
    from vmoodle.installation import Installation


class SettingPatterns(Parameters):
    """Settings, by name."""

    setting: list[str] = Field(
        description="name of Moodle's own, component/name of a plugin's; * and ? are wildcards."
    )

    @model_validator(mode="after")
    def _are_names(self) -> Self:
        _refuse_none(self.setting)
        for one in self.setting:
            parse_pattern(one)
        return self

    def read(self, site: TargetSite) -> dict[SettingName, SettingValue]:
        """Return the settings that are meant, as they are on a site."""
        with site.connect() as connection:
            patterns = [parse_pattern(one) for one in self.setting]
            return read_matching(connection, patterns, site.in_force)


class GetSettings(Command[SettingPatterns]):
    """Tell the values."""

    name = "config.get"
    title = "Tell settings of Moodle and its plugins, forced ones as such."
    effect = Effect.READS
    model = SettingPatterns
    comparison = Comparison.BY_ROW

    def run(self, site: TargetSite) -> Result:
        """Return the settings with the value Moodle goes by; of a secret only a mark."""
        shown = masks(site).shown
        rows = tuple(
            (str(name), shown(name, value.effective), value.is_forced, shown(name, value.stored))
            for name, value in self.given.read(site).items()
        )
        return Table(("setting", "value", "forced", "stored"), rows)

    @classmethod
    def judge_reading(
        cls, given: SettingPatterns, answers: Mapping[str, Result], look: Callable[[], TargetSite]
    ) -> None:
        """Raise NotFound `setting.unknown` for what no site has."""
        refuse_nowhere(given.setting, _told_by(answers.values()), look)


class ComparedSettings(SettingPatterns):
    """Settings, by name, and whether also those are compared that say nothing."""

    all: bool = Field(
        default=False, description="Versions too, and what is another on every site by its nature."
    )


class CompareSettings(Command[ComparedSettings]):
    """Put the values of many sites side by side."""

    name = "config.compare"
    title = "Compare settings over sites: what most have, and who differs."
    effect = Effect.READS
    model = ComparedSettings
    comparison = Comparison.MATRIX

    def run(self, site: TargetSite) -> Result:
        """Return each setting's value; what is another on every site by nature is left out."""
        patterns = [parse_pattern(one) for one in self.given.setting]
        # `version` and `*/version` ask for it, `*` and `*/*` do not.
        named = [one for one in patterns if one.names_setting]
        cells, shown = {}, masks(site).shown
        for name, value in self.given.read(site).items():
            is_there = value.is_forced or value.stored is not None
            is_asked = self.given.all or any(one.matches(name) for one in named)
            if is_there and (is_asked or not name.says_nothing_compared):
                told = shown(name, value.effective)
                cells[str(name)] = f"{told} (forced)" if value.is_forced else told
        return Matrix(cells)

    @classmethod
    def judge_reading(
        cls, given: ComparedSettings, answers: Mapping[str, Result], look: Callable[[], TargetSite]
    ) -> None:
        """Raise NotFound `setting.unknown` for what no site has."""
        refuse_nowhere(given.setting, _told_by(answers.values()), look)

    @classmethod
    def compare(
        cls, given: ComparedSettings, answers: Iterable[tuple[str, Result]]
    ) -> list[Compared]:
        """Return the rows; what differs only by a site's own address or moodledata is the same."""
        # The registry's models can be had only after an installation is opened.
        from vmoodle.registry.models import Site

        rows = compared(answers)
        if given.all:
            return rows
        sites = Site.objects.values_list("shortname", "wwwroot", "dataroot")
        places = {name: (wwwroot, dataroot) for name, wwwroot, dataroot in sites}
        return list(without_own_words(rows, places))


class EditSettings(Command[Any]):
    """What the commands that change settings have in common."""

    effect = Effect.WRITES
    idempotent = True
    comparison = Comparison.BY_ROW

    @classmethod
    def changes_nothing(cls, answer: Result) -> bool:
        """Tell whether each setting is so already, or is left as it is."""
        return all_stay(answer, AS_IT_IS, LEFT)

    def __init__(self, given: Any) -> None:
        super().__init__(given)
        self._edit = SettingEdit(self.wanted)

    def wanted(self, connection: SiteConnection, site: TargetSite) -> Wanted:
        """Return what the site is to have."""
        raise NotImplementedError

    def run(self, site: TargetSite) -> Changed:
        """Give the site what it is to have, seen at once; return each old and new value."""
        return self._edit.carry_out(site)

    def dry_run(self, site: TargetSite) -> Result:
        """Return each old and new value, and change nothing."""
        return self._edit.preview(site)

    def undo(self, site: TargetSite, kept: Any, *, dry: bool) -> Result | Changed:
        """Give back what was; raise Conflict where somebody has changed it since."""
        return take_back(site, kept, dry=dry)


class SettingValues(Parameters):
    """Settings with the values they are to have."""

    setting: list[str] = Field(
        default=[], description="name=value, component/name=value of a plugin's; no secret."
    )
    secrets: SecretParameter = Field(
        default=Secret(""), description="of settings that are secrets: JSON as {name: value}."
    )
    new: bool = Field(default=False, description="Make a setting that a site has not.")
    secret_names: Annotated[list[str], Constant(list)]

    @model_validator(mode="after")
    def _are_settings(self) -> Self:
        self.in_clear()
        return self

    def in_clear(self) -> dict[SettingName, str]:
        """Return the values that are no secrets; raise InvalidInput for what is none."""
        values: dict[SettingName, str] = {}
        for one in self.setting:
            name, separator, value = one.partition("=")
            setting = parse_setting(name)
            if not separator:
                raise InvalidInput(
                    "setting.value", f"{setting} has no value.", f"As in {setting}=1, or {setting}="
                )
            if setting.hides(value):
                raise InvalidInput(
                    "setting.secret",
                    f"{setting} is a secret, and others can see the arguments of a call.",
                    "Give it among the secrets.",
                )
            _enter(values, setting, value)
        return values

    def hidden(self) -> dict[SettingName, str]:
        """Return the values that are secrets; raise InvalidInput `command.secrets`."""
        values: dict[SettingName, str] = {}
        for name, value in secret_texts(self.secrets).items():
            _enter(values, parse_setting(name), value)
        return values


class SetSettings(EditSettings):
    """Give settings a value."""

    name = "config.set"
    title = "Set settings of Moodle and its plugins; shown at once, and can be taken back."
    model = SettingValues
    given: SettingValues

    @classmethod
    def settle(cls, given: SettingValues, installation: Installation) -> SettingValues:  # noqa: ARG003
        """Check all of it, and put in which of them are secrets."""
        hidden, clear = given.hidden(), given.in_clear()
        _refuse_none([*hidden, *clear])
        for name in hidden:
            if name in clear:
                raise _twice(name)
        return given.model_copy(update={"secret_names": [str(name) for name in hidden]})

    @classmethod
    def judge(
        cls,
        given: SettingValues,  # noqa: ARG003
        answers: Mapping[str, Result],
        failures: Collection[VMoodleError],
    ) -> None:
        """Raise NotFound `setting.unknown` for a setting that no site has which was asked."""
        refuse_unknown(answers.values(), failures)

    def wanted(self, connection: SiteConnection, site: TargetSite) -> Wanted:  # noqa: ARG002
        """Return what was given."""
        return Wanted({**self.given.in_clear(), **self.given.hidden()}, create=self.given.new)


class SettingNames(Parameters):
    """Settings, each named in full."""

    setting: list[str] = Field(description="name of Moodle's own, component/name of a plugin's.")

    @model_validator(mode="after")
    def _are_names(self) -> Self:
        _refuse_none(self.setting)
        for one in self.setting:
            refuse_by_hand(parse_setting(one), unset=True)
        return self


class UnsetSettings(EditSettings):
    """Remove settings, so that Moodle goes by its default."""

    name = "config.unset"
    title = "Unset settings of Moodle and its plugins; they can be taken back."
    model = SettingNames
    given: SettingNames

    @classmethod
    def judge(
        cls, given: SettingNames, answers: Mapping[str, Result], failures: Collection[VMoodleError]
    ) -> None:
        """Raise NotFound `setting.unknown` for a setting that no site has which was asked."""
        refuse_unset(map(parse_setting, given.setting), answers.values(), failures)

    def wanted(self, connection: SiteConnection, site: TargetSite) -> Wanted:
        """Return that none of them is set; those that are not are told with what is near."""
        names = [parse_setting(one) for one in self.given.setting]
        found = read_settings(connection, names, site.forced)
        left = {
            name: not_set(connection, name)
            for name, value in found.items()
            if value.stored is None and not value.is_forced
        }
        return Wanted({name: None for name in names if name not in left}, left)


class SettingsToCopy(FromSite):
    """What is copied from which site; the values are put in when it is ordered."""

    what: list[str] = Field(description="Components (auth_ldap), or settings by name.")
    keep: bool = Field(
        default=False, description="Keep what a site's component has beyond the source."
    )
    with_secrets: bool = Field(default=False, description="Copy secrets too.")
    values: Annotated[dict[str, str], Constant(dict)]
    secrets: SettledSecret
    left: Annotated[dict[str, str], Constant(dict)]
    whole: Annotated[list[str], Constant(list)]

    @model_validator(mode="after")
    def _are_names(self) -> Self:
        _refuse_none(self.what)
        for one in self.what:
            parse_pattern(one)
        return self


class CopySettings(EditSettings):
    """Give sites the configuration that one site has."""

    name = "config.copy"
    title = "Copy a plugin's configuration, or settings by name, from one site to others."
    model = SettingsToCopy
    given: SettingsToCopy

    @classmethod
    def settle(cls, given: SettingsToCopy, installation: Installation) -> SettingsToCopy:
        """Read the source, once for all sites."""
        site = open_source(installation, given.source)
        with site.connect() as connection:
            found = read_source(connection, given.what, site.forced, secrets=given.with_secrets)
        values = {str(name): value for name, value in found.values.items() if not name.is_secret}
        secrets = {str(name): value for name, value in found.values.items() if name.is_secret}
        return given.model_copy(
            update={
                "values": values,
                "secrets": Secret(json.dumps(secrets) if secrets else ""),
                "left": {str(name): why for name, why in found.left.items()},
                "whole": list(found.whole),
            }
        )

    @classmethod
    def notes(cls, given: SettingsToCopy) -> list[str]:
        """Return what is left out of the source, by the reasons."""
        names: dict[str, list[str]] = {}
        for name, why in given.left.items():
            names.setdefault(why, []).append(name)
        return [f"left out, {why}: {', '.join(those)}" for why, those in names.items()]

    def wanted(self, connection: SiteConnection, site: TargetSite) -> Wanted:
        """Return what differs on the site from what the source had."""
        given = self.given
        values = given.values | secret_texts(given.secrets)
        source = CopySource(
            {parse_setting(name): value for name, value in values.items()},
            {parse_setting(name): why for name, why in given.left.items()},
            tuple(given.whole),
        )
        plan = plan_copy(connection, source, site.forced, keep=given.keep)
        left = {name: why for name, why in plan.left.items() if name not in source.left}
        return Wanted(plan.values, left, create=True, seen=plan.seen)


def _told_by(answers: Iterable[Result]) -> set[str]:
    """Return the settings that sites have, by what they told of them."""
    found: set[str] = set()
    for answer in answers:
        if isinstance(answer, Matrix):
            found |= answer.cells.keys()
        elif isinstance(answer, Table):
            found |= {str(row[0]) for row in answer.rows if row[2] or row[3] is not None}
    return found


def _enter(values: dict[SettingName, str], setting: SettingName, value: str) -> None:
    refuse_by_hand(setting)
    check_value(setting, value)
    if setting in values:
        raise _twice(setting)
    values[setting] = value


def _twice(setting: SettingName) -> InvalidInput:
    return InvalidInput("setting.twice", f"{setting} is given twice.", "Give it once.")


def _refuse_none(given: object) -> None:
    if not given:
        raise InvalidInput("setting.none", "No setting is named.", "As in theme, quiz/timelimit.")
