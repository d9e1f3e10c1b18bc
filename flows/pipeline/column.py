"""Columns: what may stand in a cell, stated in the definition or by a pandera model that it names."""

from __future__ import annotations

import importlib
import math
import operator
import re
from collections.abc import Iterable, Iterator
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    FiniteFloat,
    GetJsonSchemaHandler,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic.types import Strict
from pydantic_core import CoreSchema

from flows.pipeline.environment import EnvironmentText
from flows.pipeline.fault import Fault, Place, brief, suggestion

ColumnType = Literal["int", "float", "decimal", "str", "bool", "date", "datetime", "phone", "list", "json"]
TYPES: tuple[str, ...] = get_args(ColumnType)

_RANGE = ("min", "max", "one_of")
CHECKS: dict[str, tuple[str, ...]] = {
    "int": _RANGE,
    "float": _RANGE,
    "decimal": _RANGE,
    "str": ("min_length", "max_length", "pattern", "one_of", "blank"),
    "bool": (),
    "date": _RANGE,
    "datetime": _RANGE,
    "phone": (),
    "list": (),
    "json": (),
}
_EXAMPLE = {
    "int": "7",
    "float": "1.5",
    "decimal": "1.50",
    "str": '"text"',
    "bool": "true",
    "date": "2026-01-31",
    "datetime": "2026-01-31T12:00:00",
    "phone": '"+493012345678"',
    "list": "[a, b]",
    "json": "{a: 1}",
}
KEEP, REJECT = "keep", "reject"  # words of `other`; anything else there is a value  # fmt: skip


def _read_bool(value: Any) -> Any:
    if isinstance(value, EnvironmentText):
        return {"true": True, "false": False}.get(value.casefold(), value)
    return value


def _read_int(value: Any) -> Any:
    return int(value) if isinstance(value, EnvironmentText) and re.fullmatch(r"[-+]?[0-9]{1,18}", value) else value


def _read_float(value: Any) -> Any:
    if not isinstance(value, EnvironmentText):
        return value
    try:
        return float(value)
    except ValueError:
        return value


_FromEnvironment = Annotated[str, Field(pattern=r"^\$\{.+\}$")]
# Numbers and booleans have to be written as such ("7" is no number), except where the environment gives them.
Bool = Annotated[bool, Strict(), BeforeValidator(_read_bool, json_schema_input_type=bool | _FromEnvironment)]
Int = Annotated[int, Strict(), BeforeValidator(_read_int, json_schema_input_type=int | _FromEnvironment)]
Float = Annotated[FiniteFloat, Strict(), BeforeValidator(_read_float, json_schema_input_type=float | _FromEnvironment)]


class Part(BaseModel):
    """A part of a definition: no unknown keys, no changes."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        made = handler(core_schema)
        _say_bounds(handler.resolve_ref_schema(made).get("properties", {}).values())
        return made


_BOUNDS = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}


def _say_bounds(schemas: Iterable[dict[str, Any]]) -> None:
    """Bounds by their names in JSON Schema, which pydantic does not give where the environment may state a number."""
    for schema in schemas:
        for name in _BOUNDS.keys() & schema.keys():
            schema[_BOUNDS[name]] = schema.pop(name)
        _say_bounds([*schema.get("anyOf", ()), *([schema["items"]] if "items" in schema else [])])


def left_out(value: Any) -> bool:
    """Whether a key is not stated. What is stored does without it, as it did before there was such a key."""
    return value is None


_ANY = {"type": ["number", "string", "null"]}
_SCALAR = {"type": ["string", "number", "boolean"]}


class Column(Part):
    """What may stand in the cells of one column. Which checks a type has is in `CHECKS`."""

    type: ColumnType
    """What the text of a cell is read as, and so its JSON type"""
    min: Annotated[Any, Field(json_schema_extra=_ANY)] = None
    """Smallest value allowed (numbers, dates)"""
    max: Annotated[Any, Field(json_schema_extra=_ANY)] = None
    """Largest value allowed (numbers, dates)"""
    min_length: Annotated[Int, Field(ge=0)] | None = None
    """Fewest characters (str)"""
    max_length: Annotated[Int, Field(ge=0)] | None = None
    """Most characters (str)"""
    pattern: str | None = None
    """Regular expression that the whole text has to match (str)"""
    one_of: list[Any] | None = None
    """The values allowed; all others are refused"""
    blank: Bool = True
    """false: a cell must hold a character that is not white space (str)"""
    optional: Bool = False
    """true: the column may be missing, and an empty cell becomes null"""
    unique: Bool = False
    """true: no value may stand in two rows of a file"""
    other_names: list[str] = Field(default=[], alias="from", exclude_if=operator.not_)
    """Other names that the column may have in a file"""
    trim: Bool = Field(default=False, exclude_if=operator.not_)
    """true: blanks around a value are taken off, those too that nobody sees"""
    decimal: str | None = Field(default=None, exclude_if=left_out)
    """The decimal sign: . or , (float, decimal)"""
    group: str | None = Field(default=None, exclude_if=left_out)
    """What stands between thousands: . , ' _ or a blank (int, float, decimal)"""
    format: str | None = Field(default=None, exclude_if=left_out)
    """How dates are written: DD.MM.YYYY, M/D/YYYY h:mm A (date, datetime)"""
    first_year: Int | None = Field(default=None, exclude_if=left_out)
    """With YY in the format: the first of the hundred years that two digits mean, e.g. 1950"""
    table: dict[str, Any] | None = Field(default=None, alias="map", exclude_if=left_out)
    """Values by the text of the cell; a text that is not there is rejected"""
    other: Any = Field(default=REJECT, exclude_if=lambda value: value == REJECT)
    """Of a text that is not in map: reject, keep (read it as it stands), or the value that it becomes"""
    split: str | None = Field(default=None, exclude_if=left_out)
    """What stands between the entries of a cell (list). Default: the cell holds JSON"""
    region: str | None = Field(default=None, exclude_if=left_out)
    """The country of telephone numbers that do not name one, in two letters: DE (phone)"""
    default: Any = Field(default=None, exclude_if=left_out)
    """The value of an empty cell"""
    as_written: Bool = Field(default=False, exclude_if=operator.not_)
    """true: texts that a spreadsheet may have ruined are taken as they stand: #N/A, 1.2E+11 (str)"""
    says: str | None = Field(default=None, exclude_if=left_out)
    """What it must be, in words for people in place of the pattern: `an e-mail address such as a@b.de`"""
    example: Annotated[Any, Field(json_schema_extra=_SCALAR)] = Field(default=None, exclude_if=left_out)
    """A value that the checks accept, for the template"""
    goes_out: Literal["text", "unix"] | None = Field(default=None, alias="as", exclude_if=left_out)
    """How it goes out. text: in JSON as a string. unix: seconds since 1970 (date, datetime)"""

    @property
    def judges_ruins(self) -> bool:
        """Whether a text that a spreadsheet ruined is rejected: not where a list of texts says what may stand there."""
        return self.type == "str" and not self.as_written and self.table is None and self.one_of is None

    @model_validator(mode="before")
    @classmethod
    def _typed_values(cls, data: Any) -> Any:
        """`min`, `max` and `one_of` as the column's own Python type, where they can be read as such."""
        if not isinstance(data, dict) or data.get("type") not in TYPES:
            return data
        keys = ("min", "max", "other", "default")
        made = {key: typed(data["type"], data[key]) for key in keys if data.get(key) is not None}
        if isinstance(data.get("map"), dict):
            made["map"] = {text: typed(data["type"], value) for text, value in data["map"].items()}
        if isinstance(data.get("one_of"), list):
            made["one_of"] = [typed(data["type"], value) for value in data["one_of"]]
        if isinstance(data.get("example"), EnvironmentText):
            made["example"] = str(data["example"])
        return data | made


_PYTHON: dict[str, type] = {
    "int": int, "float": float, "decimal": Decimal, "str": str, "bool": bool, "date": date, "datetime": datetime,
    "phone": str, "list": list, "json": object,
}  # fmt: skip


def typed(kind: str, value: Any) -> Any:
    """A value of the definition as the Python type of a column, or unchanged if it cannot be read as that."""
    try:
        if kind == "int":
            return _read_int(value)
        if kind == "float" and not isinstance(value, bool):
            return float(value) if isinstance(value, int | EnvironmentText) else value
        if kind == "decimal" and not isinstance(value, bool):
            number = Decimal(str(value))
            return number if number.is_finite() else value
        if kind in ("date", "datetime") and isinstance(value, str):
            return (date if kind == "date" else datetime).fromisoformat(value)
    except (ValueError, InvalidOperation, OverflowError):
        pass
    return str(value) if isinstance(value, EnvironmentText) else value


def column_faults(name: str, column: Column) -> Iterator[Fault]:
    """What is wrong with a column beyond the shape of its keys."""
    place: Place = ("columns", name)
    if not name.strip() or name != name.strip() or not name.isprintable() or len(name) > 200 or set("{}") & set(name):
        yield Fault(place, "a column's name must be 1 to 200 visible characters, no braces, no blanks around it")
    yield from _unknown_checks(place, column)
    yield from _wrong_values(place, column)
    yield from _crossed(place, column, "min", "max")
    yield from _crossed(place, column, "min_length", "max_length")
    if column.pattern is not None:
        try:
            re.compile(column.pattern)
        except (re.error, OverflowError, RecursionError) as exc:
            yield Fault((*place, "pattern"), f"is no regular expression: {exc} (found {brief(column.pattern)})")
    if column.says is not None and not (column.says.strip() and column.says.isprintable()):
        yield Fault((*place, "says"), "must be words on one line, such as: a postcode of five digits")
    if column.goes_out == "unix" and column.type not in ("date", "datetime"):
        yield Fault((*place, "as"), f"unix counts seconds, so it is for date and datetime, not for {column.type}")


def _unknown_checks(place: Place, column: Column) -> Iterator[Fault]:
    for check in ("min", "max", "min_length", "max_length", "pattern", "one_of", "blank"):
        if getattr(column, check) != Column.model_fields[check].default and check not in CHECKS[column.type]:
            other = {"min": "min_length", "max": "max_length", "min_length": "min", "max_length": "max"}.get(check)
            possible = ", ".join((*CHECKS[column.type], "optional", "unique"))
            near = f"did you mean `{other}`?" if other in CHECKS[column.type] else f"possible: {possible}"
            yield Fault((*place, check), f"is no check for type {column.type}; {near}")


def _wrong_values(place: Place, column: Column) -> Iterator[Fault]:
    wanted = [(("min",), column.min), (("max",), column.max)]
    options = [(("one_of", at), value) for at, value in enumerate(column.one_of or [])]
    for where, value in (*wanted, *options):
        check = str(where[0])
        if (value is not None or check == "one_of") and check in CHECKS[column.type] and not is_of(column.type, value):
            yield Fault((*place, *where), not_of(column.type, value))
    if column.one_of is not None and not column.one_of:
        yield Fault((*place, "one_of"), "is empty, so no value would be allowed")
    elif column.one_of and len({brief(value) for value in column.one_of}) < len(column.one_of):
        yield Fault((*place, "one_of"), "names a value twice")


def not_of(kind: str, value: Any) -> str:
    """What is said of a value that is not of a column's type."""
    return f"must be of the column's type {kind}, such as {_EXAMPLE[kind]} (found {brief(value)})"


def is_of(kind: str, value: Any) -> bool:
    """Whether a value of the definition is one of a column's type."""
    if kind == "json":
        return True
    if isinstance(value, bool) != (kind == "bool") or isinstance(value, datetime) != (kind == "datetime"):
        return False
    if isinstance(value, float) and not math.isfinite(value):
        return False
    return isinstance(value, _PYTHON[kind])


def _crossed(place: Place, column: Column, low: str, high: str) -> Iterator[Fault]:
    least, most = getattr(column, low), getattr(column, high)
    if least is None or most is None or type(least) is not type(most):
        return
    try:
        crossed = least > most
    except TypeError:  # one time with a time zone and one without
        yield Fault((*place, low), f"`{low}` and `{high}` must both have a time zone, or neither")
        return
    if crossed:
        yield Fault((*place, low), f"`{low}` is above `{high}` ({least} > {most}), so no value would be allowed")


class SchemaImportError(ValueError):
    """The pandera model named by `schema` cannot be used; the message says why and what to do."""


@lru_cache(maxsize=64)
def pandera_model(path: str) -> Any:
    """The pandera DataFrameModel at `package.module:Model`. Raises SchemaImportError."""
    module_name, _, name = path.partition(":")
    if not re.fullmatch(r"[\w.]+:\w+", path):
        raise SchemaImportError("write package.module:Model, the import path of a pandera DataFrameModel")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as exc:
        raise SchemaImportError(f"there is no module {exc.name}; install it, or put its folder on PYTHONPATH") from exc
    except Exception as exc:  # somebody else's module may fail in any way
        raise SchemaImportError(f"importing {module_name} failed: {type(exc).__name__}: {exc}") from exc
    return _checked_model(module, name)


def _checked_model(module: Any, name: str) -> Any:
    from pandera.pandas import DataFrameModel  # takes a second, and most definitions state their columns

    model = getattr(module, name, None)
    models = [key for key, value in vars(module).items() if _is_model(value, DataFrameModel)]
    if model is None:
        raise SchemaImportError(f"{module.__name__} has no {name}; {suggestion(name, models)}")
    if not _is_model(model, DataFrameModel):
        raise SchemaImportError(f"{name} is no pandera DataFrameModel")
    from flows.pipeline.model import unusable  # with pandera, as above

    try:
        why = unusable(model.to_schema())
    except Exception as exc:  # pandera's own, on a model that contradicts itself
        raise SchemaImportError(f"{name} makes no schema: {type(exc).__name__}: {exc}") from exc
    if why:
        raise SchemaImportError(f"{name} {why}")
    return model


def _is_model(value: Any, base: type) -> bool:
    return isinstance(value, type) and issubclass(value, base) and value is not base
