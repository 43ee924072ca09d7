"""
Forms: what each command is made of, so that a page can draw it and one route can
read it.

Nothing is said twice: a form is read off the class of the command, and what a policy
or an order leaves of it is told by whoever decides the command.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import date, timedelta
from types import NoneType, UnionType
from typing import (
    Any,
    Final,
    Literal,
    TypeAlias,
    Union,
    final,
    get_args,
    get_origin,
    get_type_hints,
)

import attrs
from pendulum import DateTime

from .clock import WINDOW_DAYS_MAX, as_utc, as_window, window_text
from .commands import Command
from .errors import InvalidInputError
from .inputs import (
    FILES_MAX,
    ID_LENGTH_MAX,
    METADATA_MAX,
    TEXT_BYTES_MAX,
    Text,
    as_id,
    as_ids,
    as_metadata,
    as_text,
    kind_of,
)
from .money import AMOUNT_MAX, Money, Payment, Share
from .parties import Actor, Role
from .terms import (
    ADD_ONS_MAX,
    PAYMENTS_MAX,
    REVISIONS_MAX,
    RULINGS,
    AddOn,
    Revisions,
    Ruling,
    Terms,
)

__all__ = [
    "Field",
    "Narrowing",
    "form_of",
    "json_schema",
    "narrowed",
    "parse",
    "plain",
    "specimen",
]

# What is told of a name that there is not.
_NAME_MAX: Final = 60

_MICROSECOND: Final = timedelta(microseconds=1)


@final
@attrs.frozen(kw_only=True)
class Field:
    """
    One field of a command: enough to draw it.

    | kind | as JSON | minimum, maximum |
    |---|---|---|
    | `text` | a text | bytes in UTF-8 |
    | `id` | a text or whole number | characters |
    | `references` | texts | how many |
    | `choice` | a text, one of *choices* | |
    | `integer` | a whole number | numbers |
    | `flag` | true or false | |
    | `money` | `{"amount": "9.90", "currency": "EUR"}` | `Money` |
    | `window` | `"PT48H"`, `"P5D"` | `timedelta` |
    | `instant` | `"2026-05-05T08:00:00+00:00"` | `DateTime` |
    | `payment` | its *fields*; a list of them; null if it is still to come | how many |
    | `ruling` | `{"kind": one of *choices*}` with its *fields* | |
    | `terms` | its *fields* | |
    | `add_ons` | a list of their *fields* | how many |
    | `labels` | an object of texts | how many |
    | `value` | a host's own | |

    Attributes:
        name: The name of the field.

        kind: What it takes, as above.

        required: Whether it must be given.

        choices: What may be chosen; also whose things can be named: open offers.

        minimum: The least there may be.

        maximum: The most there may be.

        excludes: What may not be given: a payment that was counted already.

        one_of: Fields of which at least one must be given.

        fields: What it is made of itself.

        choice: The choice of the field around it that it belongs to; empty for all.

        vouched: Whether your server says it, and no form of a buyer's or a seller's
            asks for it: a payment, a price of yours.
    """

    name: str
    kind: str
    required: bool = False
    choices: tuple[str, ...] = ()
    minimum: Any = None
    maximum: Any = None
    excludes: tuple[str, ...] = ()
    one_of: tuple[str, ...] = ()
    fields: tuple[Field, ...] = ()
    choice: str = ""
    vouched: bool = False

    def label(self, locale: str = "en") -> str:
        """
        Return what stands beside it: `Reason`.
        """
        # Words are only needed when somebody reads them.
        from .words import field_text

        return field_text(self.name, locale)


# What is left of a form: by the name of the field, what is different about it.
Narrowing: TypeAlias = tuple[str, Mapping[str, Any]]

# Type -> kind, least, most.
_KINDS: Final[Mapping[Any, tuple[str, Any, Any]]] = {
    Text: ("text", None, TEXT_BYTES_MAX),
    str: ("id", 1, ID_LENGTH_MAX),
    int: ("integer", None, None),
    bool: ("flag", None, None),
    Money: ("money", None, None),
    timedelta: ("window", _MICROSECOND, timedelta(days=WINDOW_DAYS_MAX)),
    DateTime: ("instant", None, None),
    tuple[str, ...]: ("references", 0, FILES_MAX),
    tuple[Payment, ...]: ("payment", 1, PAYMENTS_MAX),
    tuple[AddOn, ...]: ("add_ons", 0, ADD_ONS_MAX),
    Mapping[str, str]: ("labels", 0, METADATA_MAX),
    Revisions: ("integer", 0, REVISIONS_MAX),
    Ruling: ("ruling", None, None),
    Terms: ("terms", None, None),
}


# --- reading a form off a class ---------------------------------------------------


def form_of(command: type[Command]) -> tuple[Field, ...]:
    """
    Return the fields of a command, as it takes them for some order.
    """
    form = _FORMS.get(command)
    if form is None:
        form = _FORMS[command] = tuple(
            attrs.evolve(field, vouched=field.name in command.vouched)
            for field in _fields(command, command.one_of)
        )
    return form


_FORMS: Final[dict[type[Command], tuple[Field, ...]]] = {}


def _fields(
    kind: type[Any], one_of: tuple[str, ...] = (), choice: str = ""
) -> tuple[Field, ...]:
    hints = get_type_hints(kind)
    return tuple(
        _field(field, hints[field.name], one_of, choice)
        for field in attrs.fields(kind)
        if field.init
    )


def _field(
    field: attrs.Attribute[Any], hint: Any, one_of: tuple[str, ...], choice: str
) -> Field:
    hint = _given(hint)
    kind, minimum, maximum = _KINDS.get(hint, ("value", None, None))
    required = field.default is attrs.NOTHING
    choices: tuple[str, ...] = ()
    fields: tuple[Field, ...] = ()
    if get_origin(hint) is Literal:
        kind, choices = "choice", tuple(map(str, get_args(hint)))
    elif hint == Revisions:
        choices = ("unlimited",)
    elif kind == "text" and required:
        minimum = 1
    elif kind == "id" and not required:
        minimum = 0
    elif kind == "payment":
        without = field.metadata.get("without", ())
        fields = tuple(f for f in _fields(Payment) if f.name not in without)
    elif kind == "terms":
        fields = _fields(Terms)
    elif kind == "add_ons":
        fields = _fields(AddOn)
    elif kind == "ruling":
        choices = tuple(RULINGS)
        fields = tuple(
            part
            for name, ruling in RULINGS.items()
            for part in _fields(ruling, choice=name)
        )
    return Field(
        name=str(field.alias),
        kind=kind,
        required=required,
        choices=choices,
        minimum=field.metadata.get("minimum", minimum),
        maximum=field.metadata.get("maximum", maximum),
        one_of=one_of if field.name in one_of else (),
        fields=fields,
        choice=choice,
    )


def _given(hint: Any) -> Any:
    """
    Return what a field is when it is given: of `Money | None`, `Money`.
    """
    if hint in _KINDS:
        return hint
    if get_origin(hint) in (Union, UnionType):
        parts = tuple(part for part in get_args(hint) if part is not NoneType)
        if len(parts) == 1:
            return parts[0]
        if set(parts) == set(get_args(Revisions)):
            return Revisions
    return hint


def narrowed(
    form: Iterable[Field], narrowings: Iterable[Narrowing], currency: str
) -> tuple[Field, ...]:
    """
    Return what an order leaves of a form.

    Args:
        narrowings: What is different about a field, by its name; `"ruling.due_at"` is
            a field of a field.

        currency: The currency of the order.
    """
    changes: dict[str, dict[str, Any]] = {}
    for name, change in narrowings:
        changes.setdefault(name, {}).update(change)
    return _narrowed(form, changes, currency, "")


def _narrowed(
    form: Iterable[Field],
    changes: Mapping[str, Mapping[str, Any]],
    currency: str,
    within: str,
) -> tuple[Field, ...]:
    found = []
    for field in form:
        name = f"{within}{field.name}"
        change = changes.get(name, {})
        if change.get("left_out", False):
            continue
        if field.kind == "money":
            limits = {
                "minimum": Money(1, currency),
                "maximum": Money(AMOUNT_MAX, currency),
            }
            change = {**limits, **change}
        if change:
            field = attrs.evolve(field, **change)
        if field.fields:
            parts = _narrowed(field.fields, changes, currency, f"{name}.")
            kept = tuple(
                part
                for part in parts
                if not part.choice or part.choice in field.choices
            )
            field = attrs.evolve(field, fields=kept)
        found.append(field)
    return tuple(found)


# --- filling it in ----------------------------------------------------------------


def parse(
    command: type[Command],
    data: object,
    by: Actor | None = None,
    vouched: Mapping[str, Any] | None = None,
) -> Command:
    """
    Return a command read from plain data, such as the JSON of a request.

    Args:
        data: The fields by name, each as `Field` says.

        by: Whose request it is.  What your server vouches for is not taken from a
            buyer or a seller.  `None`: it is your own data.

        vouched: What your server says of it, by name.

    Raises:
        InvalidInputError: If a field is missing, unknown, not to be said by *by*, or
            cannot be read; it names the field: `"price.amount"`.
    """
    form = form_of(command)
    if isinstance(data, Mapping):
        if by is not None and by.role in Role.BUYER | Role.SELLER:
            for name in command.vouched:
                if name in data:
                    raise InvalidInputError(
                        name, f"not taken from a {by.role.text}: pass it in `vouched`"
                    )
        data = {**data, **(vouched or {})}
    read = _read_fields(data, form, "", of=f"fields of {command.name}")
    held = _held(command)
    for field in form:
        if field.name in held and read.get(field.name) is not None:
            read[field.name] = _BARE[field.kind](read[field.name], field)
    return command(**read)


def _held(command: type[Command]) -> frozenset[str]:
    """
    Return the fields of a command that nobody looks at when it is built.  A host may
    leave them to their types; what a browser sends is then held to these.
    """
    return frozenset(
        field.alias
        for field in attrs.fields(command)
        if field.converter is None and field.validator is None
    ) & {field.name for field in form_of(command) if field.kind in _BARE}


def _read_id(value: Any, field: Field) -> str:
    return "" if value == "" and not field.minimum else as_id(value, field.name)


def _read_integer(value: Any, field: Field) -> Any:
    if value in field.choices:
        return value
    least, most = field.minimum, field.maximum
    if type(value) is not int:
        raise InvalidInputError(field.name, f"a whole number, not {kind_of(value)}")
    if least is not None and value < least:
        raise InvalidInputError(field.name, f"no less than {least}")
    if most is not None and value > most:
        raise InvalidInputError(field.name, f"no more than {most}")
    return value


def _read_flag(value: Any, field: Field) -> bool:
    if not isinstance(value, bool):
        raise InvalidInputError(field.name, f"true or false, not {kind_of(value)}")
    return value


def _read_choice(value: Any, field: Field) -> Any:
    # Choices are told as text, whatever they are.
    if not isinstance(value, (str, int)) or str(value) not in field.choices:
        raise InvalidInputError(field.name, f"one of {', '.join(field.choices)}")
    return value


_BARE: Final[Mapping[str, Callable[[Any, Field], Any]]] = {
    "id": _read_id,
    "text": lambda value, field: as_text(value, field.name, required=field.required),
    "integer": _read_integer,
    "flag": _read_flag,
    "choice": _read_choice,
    "window": lambda value, field: as_window(value, field.name),
    "instant": lambda value, field: as_utc(value, field.name),
    "references": lambda value, field: as_ids(value, field.name),
    "labels": lambda value, field: as_metadata(value, field.name),
}


def _read_fields(
    data: object, form: Iterable[Field], within: str, of: str
) -> dict[str, Any]:
    where = within.removesuffix(".") or "data"
    if not isinstance(data, Mapping):
        raise InvalidInputError(where, f"an object with the {of}, not {kind_of(data)}")
    known = {field.name: field for field in form}
    for name in data:
        if name not in known:
            has = ", ".join(known) or "none"
            raise InvalidInputError(
                # Whatever somebody sent: no more of it than helps.
                f"{within}{name[:_NAME_MAX]}" if isinstance(name, str) else where,
                f"no such field; there are: {has}",
            )
    for name, field in known.items():
        if field.required and name not in data:
            raise InvalidInputError(f"{within}{name}", "it is required")
    return {
        name: _read(value, known[name], within)
        for name, value in data.items()
        # What is optional and null was not given.
        if value is not None or known[name].required
    }


def _read(value: Any, field: Field, within: str) -> Any:
    name = f"{within}{field.name}"
    if value is None:
        return None
    if field.kind == "money":
        return _read_money(value, name)
    if field.kind == "payment" and isinstance(value, (list, tuple)):
        return tuple(
            _made(Payment, one, field, f"{name}[{place}].")
            for place, one in enumerate(value)
        )
    if field.kind == "payment":
        return _made(Payment, value, field, f"{name}.")
    if field.kind == "terms":
        return _made(Terms, value, field, f"{name}.")
    if field.kind == "add_ons":
        if not isinstance(value, (list, tuple)):
            raise InvalidInputError(name, f"a list, not {kind_of(value)}")
        return tuple(
            _made(AddOn, one, field, f"{name}[{place}].")
            for place, one in enumerate(value)
        )
    if field.kind == "ruling":
        return _read_ruling(value, field, name)
    return value


def _read_money(value: Any, name: str) -> Money:
    if isinstance(value, Money):
        return value
    if not isinstance(value, Mapping) or set(value) != {"amount", "currency"}:
        raise InvalidInputError(name, 'money is {"amount": "9.90", "currency": "EUR"}')
    money: Money = _named(name, lambda: Money.of(value["amount"], value["currency"]))
    return money


def _read_ruling(value: Any, field: Field, name: str) -> Any:
    kinds = ", ".join(RULINGS)
    if not isinstance(value, Mapping) or "kind" not in value:
        raise InvalidInputError(name, f'{{"kind": one of {kinds}}}, with its fields')
    kind = value["kind"]
    if not isinstance(kind, str) or kind not in RULINGS:
        raise InvalidInputError(f"{name}.kind", f"one of {kinds}")
    parts = tuple(part for part in field.fields if part.choice == kind)
    rest = {key: item for key, item in value.items() if key != "kind"}
    read = _read_fields(rest, parts, f"{name}.", of=f"fields of {kind}")
    return _named(name, lambda: RULINGS[kind](**read))


def _made(kind: type[Any], value: Any, field: Field, within: str) -> Any:
    if isinstance(value, kind):
        return value
    read = _read_fields(value, field.fields, within, of=f"fields of {field.name}")
    return _named(within.removesuffix("."), lambda: kind(**read))


def _named(name: str, make: Callable[[], Any]) -> Any:
    """
    Return what is made; an error names the field within the whole.
    """
    try:
        return make()
    except InvalidInputError as error:
        raise InvalidInputError(f"{name}.{error.field}", error.problem) from error


# --- the other way ----------------------------------------------------------------

_RULING_NAMES: Final = {kind: name for name, kind in RULINGS.items()}

# What is told of a value instead of its fields; `None` for its fields.
Telling: TypeAlias = Callable[[Any], Mapping[str, Any] | None]


def plain(value: Any, *, texts: bool = True, tell: Telling | None = None) -> Any:
    """
    Return any value of the library as plain JSON data.

    Money is `{"amount": "100.00", "currency": "EUR"}`, an instant ISO 8601 in UTC,
    a window ISO 8601, a text itself.  A command comes back through `parse`.

    Args:
        texts: Whether personal texts are told, or only whether there is one.

        tell: What is told of a value, if not its fields.
    """
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, Text) and not texts:
        return bool(value)
    if isinstance(value, str):
        return str(value)
    if isinstance(value, Money):
        return {"amount": str(value.amount), "currency": value.currency}
    if isinstance(value, DateTime):
        return value.isoformat()
    if isinstance(value, timedelta):
        return window_text(value) if value else "PT0S"
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Role):
        return value.text
    if isinstance(value, (Actor, Share)):
        return str(value)
    if isinstance(value, Mapping):
        return {
            str(name): plain(item, texts=texts, tell=tell)
            for name, item in value.items()
        }
    if isinstance(value, (tuple, list, frozenset)):
        return [plain(item, texts=texts, tell=tell) for item in value]
    said = None if tell is None else tell(value)
    if said is not None:
        return plain(said, texts=texts, tell=tell)
    kind = type(value)
    if not attrs.has(kind):
        raise InvalidInputError(
            "value", f"a value of the library, not {kind_of(value)}"
        )
    fields = {
        str(field.alias): plain(getattr(value, field.name), texts=texts, tell=tell)
        for field in attrs.fields(kind)
    }
    if kind in _RULING_NAMES:
        return {"kind": _RULING_NAMES[kind], **fields}
    if kind is Payment and value.held_until is None:
        # What arrived is held by no bank.
        del fields["held_until"]
    return fields


# --- for other people's programs --------------------------------------------------


def json_schema(
    command: type[Command], fields: tuple[Field, ...] | None = None
) -> dict[str, Any]:
    """
    Return the JSON Schema (2020-12) of what `parse` reads.

    Args:
        fields: What an order leaves of the form: `Option.fields`.

    What your server vouches for is `readOnly`.

    Raises:
        InvalidInputError: If it is not the class of a command.
    """
    if not isinstance(command, type) or not issubclass(command, Command):
        raise InvalidInputError("command", "the class of a command")
    form = form_of(command) if fields is None else fields
    says, _, _ = (command.__doc__ or "").strip().partition("\n")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": command.name,
        "description": says,
        **_object(form),
    }


def _object(form: tuple[Field, ...]) -> dict[str, Any]:
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {
            # What is optional and null was not given.
            field.name: (
                _schema(field)
                if field.required and field.kind != "payment"
                else {"anyOf": [_schema(field), {"type": "null"}]}
            )
            | ({"readOnly": True} if field.vouched else {})
            for field in form
        },
        "required": [field.name for field in form if field.required],
        "additionalProperties": False,
    }
    groups = dict.fromkeys(field.one_of for field in form if field.one_of)
    for group in groups:
        by_name = {field.name: field for field in form}
        schema["anyOf"] = [
            {
                "required": [name],
                "properties": {name: _schema(attrs.evolve(by_name[name], minimum=1))},
            }
            for name in group
            if name in by_name
        ]
    return schema


def _schema(field: Field) -> dict[str, Any]:
    """
    Return what one field takes, when it is given.
    """
    least, most = field.minimum, field.maximum
    if field.kind == "text":
        # Characters are never more than bytes.
        schema: dict[str, Any] = {"type": "string", "maxLength": most}
        return schema | ({"minLength": least} if least else {})
    if field.kind == "id":
        return _identifier(field)
    if field.kind == "references":
        items = {"type": ["string", "integer"], "minLength": 1}
        schema = {"type": "array", "items": items, "maxItems": most}
        return schema | ({"minItems": least} if least else {})
    if field.kind == "choice":
        return {"enum": list(field.choices)}
    if field.kind == "integer":
        schema = {"type": "integer"}
        schema |= {} if least is None else {"minimum": least}
        schema |= {} if most is None else {"maximum": most}
        if field.choices:
            return {"anyOf": [schema, {"enum": list(field.choices)}]}
        return schema
    if field.kind == "flag":
        return {"type": "boolean"}
    if field.kind == "money":
        return _money(field)
    if field.kind == "window":
        return {"type": "string", "format": "duration"}
    if field.kind == "instant":
        return {"type": "string", "format": "date-time"}
    if field.kind == "payment":
        one = _object(field.fields)
        return {
            "anyOf": [
                one,
                {"type": "array", "items": one, "maxItems": most},
            ]
        }
    if field.kind == "ruling":
        return {"oneOf": [_one_ruling(field, name) for name in field.choices]}
    if field.kind == "terms":
        return _object(field.fields)
    if field.kind == "add_ons":
        return {"type": "array", "items": _object(field.fields), "maxItems": most}
    if field.kind == "labels":
        texts = {"type": "string"}
        return {"type": "object", "additionalProperties": texts, "maxProperties": most}
    return {}


def _identifier(field: Field) -> dict[str, Any]:
    if field.choices:
        return {"enum": list(field.choices)}
    schema: dict[str, Any] = {
        "anyOf": [
            {"type": "string", "minLength": field.minimum, "maxLength": field.maximum},
            {"type": "integer"},
        ]
    }
    return schema | ({"not": {"enum": list(field.excludes)}} if field.excludes else {})


def _money(field: Field) -> dict[str, Any]:
    currency: dict[str, Any] = {"type": "string", "pattern": "^[A-Z]{3}$"}
    said: dict[str, Any] = {}
    if isinstance(field.maximum, Money):
        currency = {"const": field.maximum.currency}
        # No word of the standard compares texts by their number.
        said = {
            "description": f"from {field.minimum} to {field.maximum}",
        }
    return {
        "type": "object",
        "properties": {
            "amount": {
                "anyOf": [
                    {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?$"},
                    {"type": "integer", "minimum": 0},
                ]
            },
            "currency": currency,
        },
        "required": ["amount", "currency"],
        "additionalProperties": False,
        **said,
    }


def _one_ruling(field: Field, name: str) -> dict[str, Any]:
    parts = tuple(part for part in field.fields if part.choice == name)
    schema = _object(parts)
    schema["properties"] = {"kind": {"const": name}, **schema["properties"]}
    schema["required"] = ["kind", *schema["required"]]
    return schema


# --- trying it out ----------------------------------------------------------------


def specimen(
    command: type[Command],
    fields: tuple[Field, ...],
    *,
    most: bool = False,
    choice: str = "",
) -> Command:
    """
    Return a command within a form, with what must be given and no more.

    Args:
        most: Whether amounts are the most there may be, and not the least.

        choice: What is chosen where something of some kind is.

    Raises:
        InvalidInputError: If a host's own command takes something that no form tells.
    """
    given = {
        field.name: _example(field, most, choice)
        for field in fields
        if field.required or field.one_of[:1] == (field.name,)
    }
    return command(**given)


def _example(field: Field, most: bool, choice: str) -> Any:
    if field.kind == "text":
        return "-"
    if field.kind == "ruling":
        name = choice or field.choices[0]
        parts = {
            part.name: _example(part, most, "")
            for part in field.fields
            if part.choice == name and part.required
        }
        return RULINGS[name](**parts)
    if field.choices:
        return choice if choice in field.choices else field.choices[0]
    if field.kind == "id":
        return _unlike(field.excludes)
    if field.kind == "payment":
        by_name = {part.name: part for part in field.fields}
        return Payment("-", _unlike(by_name["reference"].excludes))
    if field.kind in _EXAMPLES:
        return _EXAMPLES[field.kind]
    # An instant has no latest.
    value = field.maximum if most and field.maximum is not None else field.minimum
    if value is None:
        raise InvalidInputError(field.name, "nobody knows what it takes")
    return value


_EXAMPLES: Final[Mapping[str, Any]] = {
    "references": ("-",),
    "flag": False,
    "window": timedelta(days=1),
}


def _unlike(names: tuple[str, ...]) -> str:
    name = "-"
    while name in names:
        name += "-"
    return name
