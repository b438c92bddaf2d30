"""Which words of a script's command line are secrets, and which scripts would print secrets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath

from vmoodle.moodle.config.names import CORE, SettingName
from vmoodle.moodle.identity.secret_names import is_secret_option
from vmoodle.secret import MASK

# admin/cli/reset_password.php, 4.5 and 5.1; `-p` means other things to other scripts.
_SHORT = {"reset_password.php": frozenset({"-p"})}
# admin/cli/cfg.php, 4.5 and 5.1: what it sets is a secret where the setting is one.
_VALUE_OF_SETTING = frozenset({"--set", "--value"})
_PRINTS_SETTINGS = "cfg.php"
# No secret, though it is given to an option that sounds like one.
_SWITCHES = frozenset({"", "0", "1", MASK})


def secret_words(script: str, words: Sequence[str]) -> dict[int, str]:
    """Return, by their places, the words that hold a secret.

    `--option=secret` is one such word; of `--option secret` it is the second.
    """
    hides_value = _setting(words).is_secret
    short = _SHORT.get(PurePosixPath(script).name, frozenset())
    return {
        place: words[place]
        for place, option, value in _options(words)
        if value not in _SWITCHES
        and (
            is_secret_option(option)
            or option in short
            or (hides_value and option in _VALUE_OF_SETTING)
        )
    }


def masked_words(words: Sequence[str], secrets: Mapping[int, str]) -> list[str]:
    """Return the words as they may be seen."""
    return [_masked(word) if place in secrets else word for place, word in enumerate(words)]


def prints_secrets(script: str, words: Sequence[str]) -> bool:
    """Tell whether a script is told to print a setting that is a secret, or all settings."""
    options = {option for _place, option, _value in _options(words)} | set(words)
    if PurePosixPath(script).name != _PRINTS_SETTINGS:
        return False
    if options & {"--set", "--unset", "--help", "-h"}:
        return False
    return "--name" not in options or _setting(words).is_secret


def _options(words: Sequence[str]) -> Iterator[tuple[int, str, str]]:
    """Give the options that have a value, with it and the place of the word it stands in."""
    for place, word in enumerate(words):
        option, separator, value = word.partition("=")
        if not option.startswith("-"):
            continue
        following = words[place + 1] if place + 1 < len(words) else "--"
        if separator:
            yield place, option, value
        elif not following.startswith("--"):
            yield place + 1, option, following


def _setting(words: Sequence[str]) -> SettingName:
    given = {option: value for _place, option, value in _options(words)}
    component = given.get("--component") or CORE
    return SettingName(CORE if component == "moodle" else component, given.get("--name", ""))


def _masked(word: str) -> str:
    option, separator, _value = word.partition("=")
    return f"{option}={MASK}" if separator and option.startswith("-") else MASK
