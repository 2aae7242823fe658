"""Tables of settings become the types that declare them, or an error that names file, key and expectation."""

import difflib
import re
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import msgspec

from pulseshim.errors import SettingsError

T = TypeVar("T")

_CLOSE = 0.5
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<field>.*)`")
_MISSING = re.compile(r"Object missing required field `(?P<field>.*)`")
_AT = re.compile(r"^(?P<what>.*?)(?: - at `(?:key in )?\$(?P<path>.*)`)?$", re.DOTALL)
_STEP = re.compile(r"\.([^.\[]+)|\[(\.\.\.|\d+)\]")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_QUOTED = re.compile(r"`([^`]*)`")
_WORDS = {
    "str": "text",
    "int": "integer",
    "bool": "boolean",
    "float": "number",
    "array": "list",
    "object": "table",
}


def convert(
    tables: Any, kind: type[T], origin: str, prefix: tuple[str, ...] = (), *, strict: bool = True
) -> T:
    """Give tables as the type that declares them, a `msgspec.Struct`.

    `origin` is the file they come from and `prefix` the path of their table there. Where they are not to be
    read `strict`ly, a text may stand for a number or a boolean. Raises `SettingsError`.
    """
    try:
        return msgspec.convert(tables, kind, strict=strict)
    except msgspec.ValidationError as error:
        match = _AT.match(str(error))
        what, path = (match["what"], match["path"] or "") if match else (str(error), "")
        where, inner = _locate(tables, kind, path, strict=strict)
        raise _explain(what, [*prefix, *where], inner, origin or "settings") from error


def _locate(tables: Any, kind: Any, path: str, *, strict: bool) -> tuple[list[str], Any]:
    """Give the words of msgspec's path, with the keys that it leaves out, and the type that stands there."""
    words: list[str] = []
    for name, item in _STEP.findall(path):
        inner = _field(kind, name) if name else _held(kind)
        key = name or (int(item) if item.isdigit() else _misfit(tables, inner, strict=strict))
        if inner is None or key is None:
            break
        tables, kind = tables[key], inner
        if isinstance(key, int):
            words[-1] += f"[{key}]"
        else:
            words.append(key if _BARE_KEY.fullmatch(key) else f'"{key}"')
    return words, kind


def _parts(kind: Any) -> list[Any]:
    """Give the alternatives that a type names, without their constraints."""
    if get_origin(kind) is Annotated:
        return _parts(get_args(kind)[0])
    if get_origin(kind) in (Union, UnionType):
        return [part for alternative in get_args(kind) for part in _parts(alternative)]
    return [kind]


def _fields(kind: Any) -> dict[str, Any]:
    """Give the keys of a table and their types."""
    tables = [part for part in _parts(kind) if isinstance(part, type) and issubclass(part, msgspec.Struct)]
    return {field.encode_name: field.type for table in tables for field in msgspec.structs.fields(table)}


def _field(kind: Any, name: str) -> Any:
    return _fields(kind).get(name)


def _held(kind: Any) -> Any:
    """Give the type of what a list holds, or a table whose keys are free."""
    held = [part for part in _parts(kind) if get_origin(part) in (dict, list, tuple, set, frozenset)]
    return next(
        (argument for part in held for argument in reversed(get_args(part)) if argument is not ...), None
    )


def _misfit(tables: Any, kind: Any, *, strict: bool) -> str | None:
    """Give the first key whose value does not fit."""
    for key, value in tables.items():
        try:
            msgspec.convert(value, kind, strict=strict)
        except msgspec.ValidationError:
            return str(key)
    return None


def _explain(what: str, where: list[str], kind: Any, origin: str) -> SettingsError:
    """Turn what msgspec says into file, key and expectation."""
    unknown = _UNKNOWN.match(what)
    if unknown:
        close = difflib.get_close_matches(unknown["field"], _fields(kind), n=1, cutoff=_CLOSE)
        hint = f"did you mean {close[0]}?" if close else "see docs/reference/settings.md for those there are"
        return SettingsError(f"{origin}: {'.'.join([*where, unknown['field']])} is no setting", hint)
    missing = _MISSING.match(what)
    if missing:
        return SettingsError(
            f"{origin}: {'.'.join([*where, missing['field']])} is not set", "set it, it has no default"
        )
    if "regex" in what:
        what = "expected a time such as 500ms, 30s, 5m, 12h or 7d"
    elif "enum" in what:
        choices = [str(choice) for part in _parts(kind) for choice in get_args(part)]
        what = f"expected one of {', '.join(choices)}"
    else:
        what = _QUOTED.sub(lambda quoted: " or ".join(map(_word, quoted[1].split(" | "))), what)
    return SettingsError(f"{origin}: {'.'.join(where) or 'the file'} is wrong", what[0].lower() + what[1:])


def _word(name: str) -> str:
    """Give the name of a type as the documentation has it; any other name as it is."""
    constraint = name.partition(" ")
    return _WORDS.get(constraint[0], constraint[0]) + name[len(constraint[0]) :]
