"""Write the generated parts of `docs/reference` from the code: `python contrib/dev/reference.py`.

A page holds what people wrote and, between `<!-- generated: NAME -->` and `<!-- end -->`, what stands in the
code already: settings, verbs, errors, messages and what plugins use. A test fails where a page is stale.
"""

import inspect
import json
import re
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Annotated, Any, get_origin

import click
import msgspec

import pulseshim
import pulseshim_plugins
import pulseshim_shims
from contrib.dev.settings_tables import comments, tables, type_name
from pulseshim import Message, hookspecs
from pulseshim.commands.emit import HELP as EMIT_HELP
from pulseshim.commands.root import VERBS, cli
from pulseshim.errors import PulseshimError
from pulseshim.message import payload_schema

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"

_PART = re.compile(r"(<!-- generated: (?P<name>[a-z]+) -->\n).*?(<!-- end -->\n)", re.DOTALL)
_ALL_HAVE = ("config", "debug", "help")


def main() -> None:
    """Write the pages that are not what the code says."""
    for path, text in pages().items():
        if not path.is_file() or path.read_text() != text:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
            print(f"written: {path.relative_to(ROOT)}")


def pages() -> dict[Path, str]:
    """Give the text that each page of the reference must have."""
    parts: dict[str, Callable[[], Iterator[str]]] = {
        "settings": settings,
        "verbs": verbs,
        "errors": errors,
        "messages": messages,
        "names": names,
        "hooks": hooks,
    }

    def part(match: re.Match[str]) -> str:
        return f"{match[1]}\n" + "\n".join(parts[match["name"]]()) + f"\n\n{match[3]}"

    texts = {path: _PART.sub(part, path.read_text()) for path in sorted(REFERENCE.glob("*.md"))}
    schemas = {
        REFERENCE / "schemas" / f"{kind.type}.json": json.dumps(schema(kind), indent=2) + "\n"
        for kind in message_types()
    }
    return texts | schemas


def settings() -> Iterator[str]:
    """Give a table for each table of the settings."""
    for path, kind in tables():
        yield f"### `[{path}]`\n"
        yield f"{_doc(kind)}\n"
        yield "| key | type | default | meaning | variable |\n|---|---|---|---|---|"
        meanings = comments(kind)
        for field in msgspec.structs.fields(kind):
            meaning = meanings[field.name]
            plain = isinstance(field.default, str | bool | int) or (
                isinstance(field.default, tuple) and field.default
            )
            default = f"`{json.dumps(field.default)}`" if plain else "none"
            variable = "PULSESHIM_" + f"{path}.{field.name}".upper().replace(".", "__")
            words = (f"`{field.name}`", type_name(field.type), default, _cell(meaning), f"`{variable}`")
            yield f"| {' | '.join(words)} |"
        yield ""


def verbs() -> Iterator[str]:
    """Give a section for each verb: how it is called, what it does, its options."""
    root = cli()
    context = click.Context(root, info_name="pulseshim", obj=None)
    for name in sorted(VERBS.keys() | set(root.list_commands(context))):
        if name == "emit":
            yield "### `emit`\n"
            yield f"```text\n{EMIT_HELP.rstrip()}\n```\n"
            continue
        command = root.get_command(context, name)
        if command is not None:
            yield from _verb(command, name, context)


def _verb(command: click.Command, path: str, context: click.Context) -> Iterator[str]:
    if isinstance(command, click.Group):
        if command.callback is not None:
            yield f"### `{path}`\n"
            yield f"{_doc(command.help)}\n"
        for name in sorted(command.commands):
            yield from _verb(command.commands[name], f"{path} {name}", context)
        return
    own = click.Context(command, info_name=path, parent=context)
    words = [word for word in command.collect_usage_pieces(own) if word != "[OPTIONS]"]
    yield f"### `{' '.join([path, *words])}`\n"
    yield f"{_doc(command.help)}\n"
    options = [o for o in command.params if isinstance(o, click.Option) and o.name not in _ALL_HAVE]
    if options:
        yield "| option | |\n|---|---|"
        for option in options:
            value = "" if option.is_flag else f" {option.metavar or option.type.name.upper()}"
            shown = f" Default: {option.default:g}." if option.show_default else ""
            yield f"| `{', '.join(option.opts)}{value}` | {_cell(option.help or '')}{shown} |"
        yield ""


def errors() -> Iterator[str]:
    """Give a table of all errors, those of the core first, with their exit codes."""
    _import_all()
    yield "| error | is a | exit code | meaning |\n|---|---|---|---|"
    # Within a module as it is written; which module was imported first must not matter.
    of_core = "pulseshim.errors"
    kinds = sorted(error_types(PulseshimError), key=lambda kind: kind.__module__)
    for kind in sorted(kinds, key=lambda kind: kind.__module__ != of_core):
        base = kind.__mro__[1].__name__
        parent = "" if base == "Exception" else f"`{base}`"
        meaning = _cell(_doc(kind).partition("\n\n")[0])
        yield f"| `{kind.__name__}` | {parent} | {kind.exit_code} | {meaning} |"


def error_types(kind: type[PulseshimError]) -> Iterator[type[PulseshimError]]:
    """Give an error and what derives from it in our packages."""
    if kind.__module__.partition(".")[0] in ("pulseshim", "pulseshim_plugins"):
        yield kind
    for child in kind.__subclasses__():
        yield from error_types(child)


def messages() -> Iterator[str]:
    """Give for each type of message its fields, and those of the objects in it."""
    for kind in message_types():
        whole = schema(kind)
        title = f"`{kind.type}`, version {kind.version}"
        yield f"### {title}\n\n{whole['description']}\n\n[JSON Schema](schemas/{kind.type}.json)\n"
        yield from _fields(whole)
        for name, inner in whole.get("$defs", {}).items():
            yield f"\n#### {name}\n\n{inner['description']}\n"
            yield from _fields(inner)


def _fields(of: dict[str, Any]) -> Iterator[str]:
    yield "| field | type | |\n|---|---|---|"
    for name, kind in of["properties"].items():
        always = name in of["required"] or "default" in kind
        yield f"| `{name}` | {_json_type(kind)} | {'' if always else 'may be absent'} |"


def _json_type(kind: dict[str, Any]) -> str:
    if "$ref" in kind:
        return str(kind["$ref"]).rpartition("/")[2]
    if "anyOf" in kind:
        return " or ".join(_json_type(each) for each in kind["anyOf"])
    if "enum" in kind:
        return " or ".join(f"`{json.dumps(value)}`" for value in kind["enum"])
    if kind.get("type") == "array":
        parts = kind.get("prefixItems") or [kind.get("items", {})]
        return f"list of {', '.join(_json_type(part) for part in parts)}"
    if kind.get("type") == "object" and kind.get("additionalProperties"):
        return f"object of {_json_type(kind['additionalProperties'])}"
    return str(kind.get("type", "any value"))


def schema(kind: type[Message]) -> dict[str, Any]:
    """Give the JSON Schema of a payload, its descriptions without the indentation of the code."""
    whole = payload_schema(kind)
    for each in (whole, *whole.get("$defs", {}).values()):
        each["description"] = _doc(each.get("description", ""))
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **whole}


def message_types() -> list[type[Message]]:
    """Give the types of message that pulseshim's own shims make."""
    _import_all()
    return sorted(_typed(Message), key=lambda kind: kind.type)


def _typed(kind: type[Message]) -> Iterator[type[Message]]:
    if kind.__module__.startswith("pulseshim_shims.") and hasattr(kind, "type"):
        yield kind
    for child in kind.__subclasses__():
        yield from _typed(child)


def names() -> Iterator[str]:
    """Give what a plugin can import from `pulseshim` and `pulseshim.testing`."""
    yield "| name | |\n|---|---|"
    testing = import_module("pulseshim.testing")
    for module, prefix in ((pulseshim, ""), (testing, "testing.")):
        for name in module.__all__:
            value = getattr(module, name)
            said = _alias_doc(name) if get_origin(value) is Annotated else _doc(value)
            first, _, _ = said.partition("\n")
            yield f"| `{prefix}{name}` | {_cell(first)} |"


def _alias_doc(name: str) -> str:
    """Give what stands below the definition of a type in `pulseshim.settings`."""
    source = inspect.getsource(import_module("pulseshim.settings"))
    match = re.search(rf'^{name} = .*\n"""(.*?)"""', source, re.MULTILINE)
    return match[1] if match else ""


def hooks() -> Iterator[str]:
    """Give each hook with its arguments and what it is for."""
    for name, value in vars(hookspecs).items():
        if name.startswith("pulseshim_"):
            signature = str(inspect.signature(value)).replace("'", "")
            yield f"### `{name}`\n\n```text\n{name}{signature}\n```\n\n{_doc(value)}\n"


def _import_all() -> None:
    for package in (pulseshim_shims, pulseshim_plugins):
        for module in iter_modules(package.__path__):
            import_module(f"{package.__name__}.{module.name}")


def _doc(of: Any) -> str:
    """Give a docstring, each paragraph in one line: how it is wrapped in the code does not matter."""
    text = inspect.cleandoc(of) if isinstance(of, str) else inspect.getdoc(of) or ""
    return re.sub(r"(?<!\n)\n(?!\n)", " ", text)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    main()
