"""The file of settings, `vmoodle.toml` in the home: read, with the environment, and written out.

`VMOODLE_<SECTION>__<OPTION>` overrides an option, as in `VMOODLE_SITES__TABLE_PREFIX=m_`.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from vmoodle.errors import InvalidInput
from vmoodle.near import near
from vmoodle.secret import Secret
from vmoodle.settings import Section, Settings

ENVIRONMENT_PREFIX = "VMOODLE_"
SECTION_SEPARATOR = "__"


def load_settings(path: Path, environment: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings file (absent: all defaults), apply the environment.

    Raise InvalidInput for a file that is no TOML, an unknown key (naming the nearest known one)
    and a value of the wrong kind.
    """
    values = _read_toml(path)
    for name, text in environment.items():
        section, separator, option = name.removeprefix(ENVIRONMENT_PREFIX).partition(
            SECTION_SEPARATOR
        )
        if name.startswith(ENVIRONMENT_PREFIX) and separator:
            table = values.setdefault(section.lower(), {})
            if isinstance(table, dict):
                table[option.lower()] = text
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise _first_problem(error, path) from error


def documented_toml() -> str:
    """Return a settings file in which every option stands, commented out, with its meaning."""
    lines = ["# VMoodle's settings. Every option is shown with its default; uncomment to change."]
    for section, field in Settings.model_fields.items():
        model: type[Section] = field.annotation  # type: ignore[assignment]
        lines += ["", f"# {(model.__doc__ or '').strip()}", f"[{section}]"]
        for option, detail in model.model_fields.items():
            lines.append(f"# {detail.description}")
            lines.append(f"#{option} = {_toml_value(detail.default)}")
    return "\n".join(lines) + "\n"


def _toml_value(default: object) -> str:
    if isinstance(default, Secret) or default is None:
        return '""'
    if isinstance(default, bool):
        return str(default).lower()
    return str(default) if isinstance(default, int | float) else f'"{default}"'


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(
            "settings.unreadable",
            f"The settings file {path} cannot be read: {error}.",
            "Make it a UTF-8 file that this account may read.",
        ) from error
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidInput(
            "settings.syntax",
            f"The settings file {path} is not TOML: {error}.",
            "Mend the line named; `vmoodle settings example` prints a whole file.",
        ) from error


def _first_problem(error: ValidationError, path: Path) -> InvalidInput:
    problem = error.errors(include_input=False, include_url=False)[0]
    place = [str(part) for part in problem["loc"]]
    if problem["type"] == "extra_forbidden":
        return InvalidInput(
            "settings.unknown",
            f"The settings ({path} or the environment) have an unknown key {'.'.join(place)}.",
            _nearest(place),
        )
    return InvalidInput(
        "settings.value",
        f"The setting {'.'.join(place)} in {path} or the environment is not usable: "
        f"{problem['msg']}.",
        "`vmoodle settings example` prints every option with its meaning and default.",
    )


def _nearest(place: list[str]) -> str:
    known = [
        f"{section}.{option}"
        for section, field in Settings.model_fields.items()
        for option in getattr(field.annotation, "model_fields", {})
    ]
    wanted = ".".join(place)
    candidates = known if len(place) > 1 else list(Settings.model_fields)
    sections = f"Known sections: {', '.join(Settings.model_fields)}."
    return near(wanted, candidates, sections, alike=0.4)
