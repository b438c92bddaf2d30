"""Parameters of commands: what kind each is, and how words and JSON become checked values.

A command names its parameters as the fields of a pydantic model. The kind of a field follows from
its type, or from one of the marks here in its annotation; the options of the command line and
the JSON schema are made from it.
"""

from __future__ import annotations

import enum
import json
import types
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    GetJsonSchemaHandler,
    ValidationError,
    WithJsonSchema,
)
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema

from vmoodle.errors import InvalidInput
from vmoodle.fleet.parameter_words import called
from vmoodle.secret import MASK, Secret

if TYPE_CHECKING:
    from vmoodle.fleet.target_site import TargetSite


class Kind(enum.StrEnum):
    """The kinds of parameters, each with a way to ask for it."""

    BOOLEAN = "boolean"
    CHOICE = "choice"
    CHOICES = "choices"
    SEARCH = "search"
    TEXT = "text"
    LONG_TEXT = "long text"
    LIST = "list"
    NUMBER = "number"
    CONSTANT = "constant"
    SECRET = "secret"  # noqa: S105 - the word for it


class Mark:
    """A word in a field's annotation that says its kind."""

    kind: Kind

    def __get_pydantic_json_schema__(
        self, core_schema: Any, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {**handler(core_schema), "x-kind": str(self.kind)}


@dataclass(frozen=True)
class LongText(Mark):
    """A text of several lines; on the command line it can come from a file."""

    kind = Kind.LONG_TEXT


@dataclass(frozen=True)
class Search(Mark):
    """A text chosen from a list that a site gives; `values` asks it."""

    values: Callable[[TargetSite], list[str]]
    kind = Kind.SEARCH


@dataclass(frozen=True)
class Constant(Mark):
    """A value that nobody gives: it is computed when the command is ordered."""

    value: Callable[[], object]
    kind = Kind.CONSTANT


@dataclass(frozen=True)
class _SecretMark(Mark):
    kind = Kind.SECRET


def _as_secret(value: object) -> object:
    return Secret(value) if isinstance(value, str) else value


SecretParameter = Annotated[
    Secret,
    BeforeValidator(_as_secret),
    WithJsonSchema({"type": "string", "format": "password", "writeOnly": True, "x-kind": "secret"}),
    _SecretMark(),
]
"""A text that is never shown or kept in clear; on the command line it comes from a file."""

SettledSecret = Annotated[
    Secret,
    Constant(lambda: Secret("")),
    BeforeValidator(_as_secret),
    WithJsonSchema({"type": "string", "format": "password", "writeOnly": True}),
]
"""A secret that nobody gives: `Command.settle` puts it in, and it is kept as any secret is."""

# In Python no field is called so.
_OPTIONS = {"source": "from"}
_KIND_OF_TYPE = {
    bool: Kind.BOOLEAN,
    int: Kind.NUMBER,
    float: Kind.NUMBER,
    Secret: Kind.SECRET,
}


class _Schema(GenerateJsonSchema):
    """A secret's default has no form in JSON, and needs none."""

    ignored_warning_kinds = {  # noqa: RUF012 - as the base has it
        *GenerateJsonSchema.ignored_warning_kinds,
        "non-serializable-default",
    }


class Parameters(BaseModel):
    """The parameters of a command; one it does not know is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


@dataclass(frozen=True)
class Parameter:
    """What is to be known of one parameter to ask for it."""

    name: str
    kind: Kind
    help: str
    required: bool
    default: object = None
    choices: tuple[str, ...] = ()
    search: Callable[[TargetSite], list[str]] | None = None

    @property
    def option(self) -> str:
        """The option of the command line; a secret comes from a file, never from an argument."""
        words = _OPTIONS.get(self.name, self.name.replace("_", "-"))
        return f"--{words}-file" if self.kind is Kind.SECRET else f"--{words}"

    @property
    def many(self) -> bool:
        """Tell whether the option can be given more than once."""
        return self.kind in {Kind.CHOICES, Kind.LIST}

    def as_facts(self) -> dict[str, Any]:
        """Return the members for JSON."""
        return {
            "name": self.name,
            "option": self.option,
            "kind": str(self.kind),
            "help": self.help,
            "required": self.required,
            "default": None if self.kind is Kind.SECRET else self.default,
            "choices": list(self.choices),
        }


def parameters(model: type[Parameters]) -> tuple[Parameter, ...]:
    """Return a model's parameters in their order, constants too."""
    return tuple(_parameter(name, field) for name, field in model.model_fields.items())


def given(model: type[Parameters], values: Mapping[str, object]) -> Parameters:
    """Return the checked parameters; constants are computed here and by nobody else.

    Raise InvalidInput `command.parameter` for the first one that is unknown, missing or unusable.
    """
    constants = {
        one.name: _constant(model.model_fields[one.name]).value()
        for one in parameters(model)
        if one.kind is Kind.CONSTANT
    }
    foreign = sorted(constants.keys() & values.keys())
    if foreign:
        raise InvalidInput(
            "command.parameter",
            f"{called(foreign[0])} is computed; nobody gives it.",
            "Leave it out.",
        )
    try:
        return model.model_validate({**values, **constants})
    except ValidationError as error:
        raise _first_problem(error, model) from error


def refuse_together(**values: object) -> None:
    """Raise InvalidInput `command.exclusive` where more than one of the parameters is given."""
    chosen = [called(name) for name, value in values.items() if value]
    if len(chosen) > 1:
        raise InvalidInput(
            "command.exclusive", f"{chosen[0]} and {chosen[1]} exclude each other.", "Give one."
        )


def schema(model: type[Parameters]) -> dict[str, Any]:
    """Return the JSON schema of what is to be given: without the constants."""
    whole = model.model_json_schema(schema_generator=_Schema)
    hidden = {one.name for one in parameters(model) if one.kind is Kind.CONSTANT}
    members = {k: v for k, v in whole.get("properties", {}).items() if k not in hidden}
    required = [name for name in whole.get("required", []) if name not in hidden]
    for one in parameters(model):
        if one.name in members:
            members[one.name].setdefault("x-kind", str(one.kind))
    return {**whole, "properties": members, "required": required}


def masked(values: Parameters) -> dict[str, Any]:
    """Return the parameters as JSON, each secret as `***`; one that was not given stays empty."""
    return _plain(values, lambda secret: MASK if secret else "")


def revealed(values: Parameters) -> dict[str, Any]:
    """Return the parameters as JSON with the secrets in clear, to be encrypted at once."""
    return _plain(values, lambda secret: secret.reveal())


def restored(model: type[Parameters], values: Mapping[str, object]) -> Parameters:
    """Return the parameters that were `revealed` or `masked` before, constants as they were."""
    return model.model_validate(values)


def has_secrets(values: Parameters) -> bool:
    """Tell whether there is a secret among the parameters, be it a masked one."""
    return any(isinstance(value, Secret) and value.reveal() for _name, value in values)


def secrets_of(values: Parameters) -> list[Secret]:
    """Return the secrets among the parameters, also each that one holds with others as JSON."""
    found = []
    for _name, value in values:
        if not isinstance(value, Secret) or value.reveal() in ("", MASK):
            continue
        found.append(value)
        with suppress(InvalidInput):  # it is no JSON: one secret
            texts = secret_texts(value).values()
            found += [Secret(text) for text in texts]
            # Of `--option=value` the value is told alone, too.
            found += [Secret(one.partition("=")[2]) for one in texts if one.startswith("--")]
    return found


def secret_texts(secret: Secret) -> dict[str, str]:
    """Return the texts by name that a secret holds as a JSON object; none for an empty one.

    A masked one holds none. Raise InvalidInput `command.secrets` for anything else.
    """
    text = secret.reveal()
    if text in ("", MASK):
        return {}
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict) or not all(isinstance(one, str) for one in found.values()):
        raise InvalidInput(
            "command.secrets",
            "The secrets are no JSON object of texts.",
            'As in {"auth_ldap/bind_pw": "…"}, in one line.',
        )
    return found


def _plain(values: Parameters, of_secret: Callable[[Secret], str]) -> dict[str, Any]:
    return {
        name: of_secret(value) if isinstance(value, Secret) else _jsonable(value)
        for name, value in values
    }


def _jsonable(value: object) -> object:
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, list | tuple | set | frozenset):
        return [_jsonable(one) for one in value]
    if isinstance(value, Mapping):
        return {str(key): _jsonable(one) for key, one in value.items()}
    return value


def _parameter(name: str, field: FieldInfo) -> Parameter:
    kind, choices = _kind(field)
    search = next((mark.values for mark in field.metadata if isinstance(mark, Search)), None)
    default = None if field.is_required() else _default(field)
    return Parameter(
        name=name,
        kind=kind,
        help=field.description or "",
        required=field.is_required() and kind is not Kind.CONSTANT,
        default=_jsonable(default),
        choices=choices,
        search=search,
    )


def _default(field: FieldInfo) -> object:
    # A secret is not copied, as get_default() would.
    return (
        field.default
        if field.default_factory is None
        else field.get_default(call_default_factory=True)
    )


def _kind(field: FieldInfo) -> tuple[Kind, tuple[str, ...]]:
    annotation = _without_none(field.annotation)
    mark = next((one for one in field.metadata if isinstance(one, Mark)), None)
    if mark is not None:
        return mark.kind, ()
    if annotation in _KIND_OF_TYPE:
        return _KIND_OF_TYPE[annotation], ()
    if choices := _choices(annotation):
        return Kind.CHOICE, choices
    if get_origin(annotation) in {list, tuple, set, frozenset}:
        inner = _choices(get_args(annotation)[0]) if get_args(annotation) else ()
        return (Kind.CHOICES if inner else Kind.LIST), inner
    return Kind.TEXT, ()


def _without_none(annotation: Any) -> Any:
    if get_origin(annotation) in {Union, types.UnionType}:
        inner = [one for one in get_args(annotation) if one is not type(None)]
        return inner[0] if len(inner) == 1 else annotation
    return annotation


def _choices(annotation: Any) -> tuple[str, ...]:
    if get_origin(annotation) is Literal:
        return tuple(str(one) for one in get_args(annotation))
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return tuple(str(one.value) for one in annotation)
    return ()


def _constant(field: FieldInfo) -> Constant:
    return next(mark for mark in field.metadata if isinstance(mark, Constant))


def _first_problem(error: ValidationError, model: type[Parameters]) -> InvalidInput:
    problem = error.errors(include_input=False, include_url=False)[0]
    name = str(problem["loc"][0]) if problem["loc"] else ""
    known = {one.name: one for one in parameters(model) if one.kind is not Kind.CONSTANT}
    hint = f"It takes {', '.join(map(called, known))}." if known else "It takes none."
    if problem["type"] == "extra_forbidden":
        return InvalidInput("command.parameter", f"There is no {called(name)}.", hint)
    if problem["type"] == "missing":
        return InvalidInput("command.parameter", f"{called(name)} is missing.", hint)
    said = str(problem["msg"]).removeprefix("Value error, ").rstrip(".")
    said = said.replace("Input should be '', ", "it should be ").replace(
        "Input should", "it should"
    )
    if name not in known:
        return InvalidInput("command.parameter", f"{said}.", hint)
    return InvalidInput(
        "command.parameter",
        f"{called(name)} is not usable: {said}.",
        known[name].help or hint,
    )
