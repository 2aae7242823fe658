"""The reference and the code: what the code has stands in the reference, as the code has it."""

import importlib.util
import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import click
import msgspec
import pytest

from pulseshim import Settings, errors, hookspecs
from pulseshim.backlog import ExchangeFigures, Figures
from pulseshim.commands.emit import HELP as EMIT_HELP
from pulseshim.commands.root import cli
from pulseshim.envelope import seal
from pulseshim.exchange import Exchange
from pulseshim.metrics import store_metrics
from pulseshim.plugin_manager import PluginManager, installed
from pulseshim_plugins.buildbot_options import MasterOptions, SharedOptions
from pulseshim_plugins.git_options import GitOptions
from pulseshim_plugins.hg_options import HgOptions
from pulseshim_shims.git import GitPush, RefUpdate, push_messages

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reference", ROOT / "contrib" / "dev" / "reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_reference_is_what_the_code_says(generator: ModuleType) -> None:
    """Where this fails, run `python contrib/dev/reference.py`."""
    wanted: dict[Path, str] = generator.pages()

    stale = [path.name for path, text in wanted.items() if not path.is_file() or path.read_text() != text]

    assert stale == []


def test_every_setting_is_in_the_reference() -> None:
    """Each key stands there in code font, below the name of its table."""
    text = (REFERENCE / "settings.md").read_text()
    tables = dict(re.findall(r"^### `\[([\w.]+)\]`\n(.*?)(?=^### |^## )", text, re.MULTILINE | re.DOTALL))

    keys = [
        *keys_of(Settings, ""),
        *((f"plugins.git.{name}") for name in names_of(GitOptions)),
        *((f"plugins.buildbot.{name}") for name in names_of(SharedOptions)),
        *((f"plugins.buildbot.masters.NAME.{name}") for name in names_of(MasterOptions)),
    ]
    missing = [
        key for key in keys if f"| `{key.rpartition('.')[2]}` |" not in tables.get(key.rpartition(".")[0], "")
    ]

    assert missing == []
    assert len(keys) > len(tables) > 1


def keys_of(kind: type[msgspec.Struct], table: str) -> Iterator[str]:
    """Give the path of each key below a table."""
    for field in msgspec.structs.fields(kind):
        path = f"{table}.{field.name}".removeprefix(".")
        inner = [each for each in (field.type, *get_args(field.type)) if is_struct(each)]
        if table:
            yield path
        for each in inner:
            yield from keys_of(each, path if each is field.type else f"{path}.NAME")


def is_struct(kind: Any) -> bool:
    """Say whether a type is a table of its own."""
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def names_of(kind: type[msgspec.Struct]) -> list[str]:
    """Give the names of the keys of a table."""
    return [field.name for field in msgspec.structs.fields(kind)]


@pytest.mark.parametrize("kind", [SharedOptions, MasterOptions, GitOptions, HgOptions])
def test_every_default_is_in_the_reference(kind: type[msgspec.Struct]) -> None:
    """As it would be written into the settings; a list, too."""
    text = (REFERENCE / "settings.md").read_text()

    defaults = {
        field.name: field.default
        for field in msgspec.structs.fields(kind)
        if written(field.default) is not None
    }

    assert defaults
    for name, default in defaults.items():
        assert re.search(
            rf"^\| `{name}` \| [^|]* \| `{re.escape(written(default) or '')}` \|", text, re.MULTILINE
        )


def written(default: Any) -> str | None:
    """Give a default in TOML; None where there is none, or nothing is in it."""
    if isinstance(default, str | bool | int) or (isinstance(default, tuple) and default):
        return json.dumps(default)
    return None


def test_every_plugin_of_ours_has_its_table_in_the_reference() -> None:
    """A plugin that is added brings its settings along."""
    text = (REFERENCE / "settings.md").read_text()
    ours = [entry.name for entry in installed() if entry.dist and entry.dist.name == "pulseshim"]

    assert [name for name in ours if f"### `[plugins.{name}]`" not in text] == []
    assert ours


def test_every_verb_and_option_is_in_the_reference() -> None:
    """Groups, arguments and options included, each below its verb."""
    text = (REFERENCE / "verbs.md").read_text()
    sections = dict(
        re.findall(
            r"^### `([\w -]+?)(?: [A-Z\[].*?)?`\n(.*?)(?=^### |^<!-- )", text, re.MULTILINE | re.DOTALL
        )
    )

    for path, command in commands(cli(), ""):
        assert path in sections
        for option in command.params:
            if isinstance(option, click.Option) and option.name not in ("config", "debug", "help"):
                assert f"`{option.opts[0]}" in sections[path], f"{path} {option.opts[0]}"
    assert set(re.findall(r"--[a-z]+", EMIT_HELP)) <= set(re.findall(r"--[a-z]+", sections["emit"]))


def commands(group: click.Group, path: str) -> Iterator[tuple[str, click.Command]]:
    """Give each command that does something, with the words that call it."""
    context = click.Context(group)
    for name in group.list_commands(context):
        if (path, name) == ("", "emit"):
            continue  # it reads its words without click
        command = group.get_command(context, name)
        assert command is not None
        words = f"{path} {name}".strip()
        if isinstance(command, click.Group):
            yield from commands(command, words)
        else:
            yield words, command


def test_every_error_is_in_the_reference() -> None:
    """Each class of `pulseshim.errors`, with its exit code."""
    text = (REFERENCE / "errors.md").read_text()
    base = errors.PulseshimError
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, base)]

    rows = {kind.__name__: rf"\| `{kind.__name__}` \| .* \| {kind.exit_code} \| \w" for kind in kinds}
    missing = [name for name, row in rows.items() if not re.search(row, text)]

    assert missing == []
    assert kinds


def test_every_hook_is_in_the_reference() -> None:
    """Each hook that a plugin may implement, with its arguments."""
    text = (REFERENCE / "plugins.md").read_text()
    hooks = [name for name in vars(hookspecs) if name.startswith("pulseshim_")]

    assert [name for name in hooks if f"### `{name}`" not in text or f"\n{name}(" not in text] == []
    assert hooks


def test_every_message_and_exchange_is_in_the_reference() -> None:
    """What the feeds of our plugins declare, each type with its schema beside it."""
    text = (REFERENCE / "wire-format.md").read_text()
    ours = [entry for entry in installed() if entry.dist and entry.dist.name == "pulseshim"]
    manager = PluginManager()
    manager.load(ours)

    exchanges = [given.feed.exchange for given in manager.feeds(Settings(plugins={e.name: {} for e in ours}))]

    for exchange in exchanges:
        assert f"`{exchange.name}`" in text
        for kind in exchange.messages:
            assert f"### `{kind.type}`, version {kind.version}" in text
            assert (REFERENCE / "schemas" / f"{kind.type}.json").is_file()
    assert exchanges


def test_every_field_of_the_envelope_is_in_the_reference() -> None:
    """`_meta` is described as it is sealed."""
    text = (REFERENCE / "wire-format.md").read_text()
    update = RefUpdate(ref="refs/heads/main", old=None, new="1" * 40)
    place = {"url": "https://git.example.org/project", "path": "project"}
    push = GitPush(id="1", **place, push_id=1, time=1, user="", options=(), updates=(update,))
    (message,) = push_messages(push)
    exchange = Exchange("exchange/gitpushes/v1", "", "", (type(message),))

    body = msgspec.json.decode(seal(message, exchange, sequence=1, sent=0).body)

    table = text.partition("| field of `_meta` |")[2].partition("\n\n")[0]
    assert [name for name in body["_meta"] if f"`{name}`" not in table] == []


def test_every_metric_of_the_store_is_in_the_guide_to_operation() -> None:
    """Under the name it is scraped by."""
    text = (ROOT / "docs" / "how-to" / "operate.md").read_text()
    exchange = ExchangeFigures(
        exchange="exchange/a/b", account="", pending=0, oldest=None, confirmed=0, confirmed_at=None
    )
    now = Figures(
        directory=ROOT,
        running="",
        spool=0,
        spool_oldest=None,
        exchanges=[exchange],
        parked={},
        counters=[],
        cursors=[],
        conditions=[],
    )

    metrics = list(store_metrics(now, 0))

    names = [f"{metric.name}_total" if metric.type == "counter" else metric.name for metric in metrics]
    assert [name for name in names if f"`{name}`" not in text] == []
    assert names
