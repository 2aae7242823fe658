"""The tables of the settings: where each stands, what is said of its keys, and of what type they are."""

import inspect
import json
import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal, get_args, get_origin

import msgspec

from pulseshim import Settings
from pulseshim_plugins.bugzilla_options import BugzillaOptions, BugzillaServer
from pulseshim_plugins.buildbot_options import MasterOptions, SharedOptions
from pulseshim_plugins.git_options import GitOptions
from pulseshim_plugins.hg_options import HgExchanges, HgOptions

PLUGIN_TABLES: dict[str, type[msgspec.Struct]] = {
    "plugins.buildbot": SharedOptions,
    "plugins.buildbot.masters.NAME": MasterOptions,
    "plugins.bugzilla": BugzillaOptions,
    "plugins.bugzilla.servers.NAME": BugzillaServer,
    "plugins.git": GitOptions,
    "plugins.hg": HgOptions,
    "plugins.hg.exchanges": HgExchanges,
}
_KEY = re.compile(r"^    (?P<name>\w+): ")


def tables() -> Iterator[tuple[str, type[msgspec.Struct]]]:
    """Give the path and the type of each table."""
    for field in msgspec.structs.fields(Settings):
        kind = field.type
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            yield field.name, kind
            for inner in msgspec.structs.fields(kind):
                of = get_args(inner.type)[-1] if get_origin(inner.type) is dict else None
                if isinstance(of, type) and issubclass(of, msgspec.Struct):
                    yield f"{field.name}.{inner.name}.NAME", of
    yield from PLUGIN_TABLES.items()


def comments(kind: type) -> dict[str, str]:
    """Give what the comments `#:` above the fields of a type say, by field."""
    found: dict[str, str] = {}
    said: list[str] = []
    parts = [part for part in reversed(kind.__mro__) if part.__module__.startswith("pulseshim")]
    for line in (line for part in parts for line in inspect.getsource(part).splitlines()):
        if line.startswith("    #: "):
            said.append(line.removeprefix("    #: "))
        elif match := _KEY.match(line):
            if said:
                found[match["name"]] = " ".join(said)
            said = []
    return found


def type_name(kind: Any) -> str:
    """Give a type of a setting in the words of TOML."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _limited(*arguments)
    if origin is Literal:
        return " or ".join(f"`{json.dumps(value)}`" for value in arguments)
    if origin is tuple:
        return f"list of {type_name(arguments[0])}"
    if origin in (dict, list):
        return f"{'table' if origin is dict else 'list'} of {type_name(arguments[-1])}"
    if arguments:
        return " or ".join(
            type_name(each) for each in arguments if each not in (type(None), msgspec.UnsetType)
        )
    return {str: "text", int: "integer", bool: "boolean"}.get(kind, "tables")


def _limited(kind: Any, meta: msgspec.Meta) -> str:
    if meta.pattern:
        return "time"
    limits = {"over": meta.gt, "from": meta.ge, "to": meta.le}
    said = [f"{word} {value}" for word, value in limits.items() if value is not None]
    return " ".join([type_name(kind), *said])
