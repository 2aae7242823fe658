"""The documents themselves: what they show is valid, what they name is there."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import msgspec
import pytest

from pulseshim.message import Message
from pulseshim.settings import load
from pulseshim_plugins.bugzilla_options import BugzillaOptions, BugzillaServer
from pulseshim_plugins.buildbot_options import masters
from pulseshim_plugins.git_options import GitOptions, check_options
from pulseshim_shims.bugzilla import CHANGES, SimpleBugMessage
from pulseshim_shims.buildbot_message import MESSAGES as BUILDBOT
from pulseshim_shims.git import GitPushMessage

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^```(?P<kind>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
OTHERS = [*sorted({*ROOT.glob("*.md")} - {*DOCUMENTS}), *sorted((ROOT / "examples").glob("*/*.md"))]
MESSAGES: dict[str, type[Message]] = {
    GitPushMessage.type: GitPushMessage,
    SimpleBugMessage.type: SimpleBugMessage,
    **{kind.type: kind for kind in (*CHANGES, *BUILDBOT)},
}


class Block(NamedTuple):
    """A fenced block: the page it stands on, its language, its text."""

    page: str
    kind: str
    text: str


BLOCKS = [
    Block(str(page.relative_to(ROOT)), match["kind"], match["text"])
    for page in DOCUMENTS
    for match in FENCE.finditer(page.read_text())
]


def of_kind(kind: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give the decorator that runs a test on each block of a language."""
    blocks = [block for block in BLOCKS if block.kind == kind]
    return pytest.mark.parametrize("block", blocks, ids=[f"{b.page}-{n}" for n, b in enumerate(blocks)])


def test_every_block_is_of_a_kind_that_is_checked() -> None:
    """A block without a language, or of one that no test knows, would be checked by nobody."""
    kinds = {block.kind for block in BLOCKS}

    assert kinds <= {"console", "json", "python", "text", "toml"}


@of_kind("toml")
def test_settings_that_are_shown_are_right(block: Block, tmp_path: Path) -> None:
    """Each block of TOML is a whole settings file, tables of plugins included; a pyproject.toml is one."""
    if block.text.startswith("# pyproject.toml"):
        assert tomllib.loads(block.text)["project"]
        return
    file = tmp_path / "pulseshim.toml"
    file.write_text(block.text)

    settings = load(str(file), {})

    check_options(settings.options("git", GitOptions), settings.origin)
    masters(settings)
    for table in settings.options("bugzilla", BugzillaOptions).servers.values():
        msgspec.convert(table, BugzillaServer)
    for plugin in settings.plugins:
        settings.account(plugin)


@of_kind("json")
def test_messages_that_are_shown_fit_their_type(block: Block) -> None:
    """Each block of JSON is a message as it is sealed, or as `tail` prints it."""
    shown = json.loads(block.text)
    body = shown.get("body", shown)
    meta, payload = body["_meta"], body["payload"]
    kind = MESSAGES[meta["type"]]
    own = {name: meta[name] for name in kind.in_meta}
    addressed = {**payload, **own, "routing_key": meta["routing_key"], "event_id": "shown"}

    message = msgspec.convert(addressed, kind)

    assert msgspec.to_builtins(message.payload()) == payload
    assert (meta["version"], meta["serializer"]) == (kind.version, "json")
    assert shown.get("routing_key", meta["routing_key"]) == meta["routing_key"]


@pytest.mark.parametrize("page", sorted({block.page for block in BLOCKS if block.kind == "python"}))
def test_code_that_is_shown_runs(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The blocks of a page are run one after the other, and so are the tests among them."""
    module = ModuleType("shown")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    source = "\n".join(block.text for block in BLOCKS if (block.page, block.kind) == (page, "python"))

    exec(compile(source, page, "exec"), vars(module))  # noqa: S102 - it is our own page

    for name, value in list(vars(module).items()):
        if name.startswith("test_"):
            value()


def test_the_plugin_that_is_shown_is_the_example() -> None:
    """What the guide for authors and the example both have is the same in both."""
    files = sorted((ROOT / "examples" / "pulseshim-gerrit").glob("*.py"))
    example: dict[str, str] = {}
    for file in files:
        example |= definitions(file.read_text())
    shown: dict[str, str] = {}
    for block in BLOCKS:
        if (block.page, block.kind) == ("docs/how-to/write-a-plugin.md", "python"):
            shown |= definitions(block.text)

    assert {name: text for name, text in shown.items() if name in example} == example


def definitions(source: str) -> dict[str, str]:
    """Give the classes and functions of a module, as they are written, by name."""
    kinds = (ast.ClassDef, ast.FunctionDef)
    return {
        node.name: ast.get_source_segment(source, node) or ""
        for node in ast.parse(source).body
        if isinstance(node, kinds)
    }


def test_the_readme_shows_what_the_demo_prints() -> None:
    """What the README shows is the end of what `pulseshim demo` prints, but for the names of commits."""
    shown = next(block.text for block in BLOCKS if block.page == "README.md" and "$ git push" in block.text)
    command = [sys.executable, "-m", "pulseshim", "demo"]

    done = subprocess.run(command, capture_output=True, text=True, check=True)

    assert without_ids(done.stdout).endswith(without_ids(shown))


def without_ids(text: str) -> str:
    """Give a text with short names of commits left out."""
    return re.sub(r"\b[0-9a-f]{7}\b", "…", text)


@pytest.mark.parametrize("page", DOCUMENTS + OTHERS, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    """A relative link names a file or folder that is there, and a heading in it."""
    for match in LINK.finditer(FENCE.sub("", page.read_text())):
        target, _, heading = match["target"].partition("#")
        if target.startswith("https://"):
            continue
        file = page.parent / target if target else page

        assert file.exists(), match["target"]
        assert not heading or heading in headings(file.read_text()), match["target"]


def headings(text: str) -> set[str]:
    """Give the anchors of the headings of a page."""
    titles = re.findall(r"^#+ (.*)$", FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}


def test_every_page_is_in_the_index() -> None:
    """Whoever looks into docs/ finds all there is."""
    index = (ROOT / "docs" / "README.md").read_text()
    pages = {str(page.relative_to(ROOT / "docs")) for page in DOCUMENTS[1:]} - {"README.md"}

    assert {page for page in pages if f"({page})" not in index} == set()


def test_every_test_that_is_named_is_there() -> None:
    """A document that says which test holds a promise names one that exists."""
    named = {name for page in DOCUMENTS for name in re.findall(r"`(test_\w+)`", page.read_text())}
    source = "\n".join(file.read_text() for file in (ROOT / "tests").rglob("test_*.py"))

    assert {name for name in named if f"def {name}(" not in source} == set()


def test_every_fault_names_the_test_that_shows_it() -> None:
    """Each row of the fault table ends with a test, or with the one that has all the faults."""
    page = (ROOT / "docs" / "explanation" / "delivery.md").read_text()
    table = page.partition("## Fault by fault")[2].partition("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| ")][1:]

    assert len(rows) > 20
    assert [row[0] for row in rows if not re.search(r"`test_\w+`|\*\*all\*\*", row[-1])] == []
    assert {len(row) for row in rows} == {4}


def test_no_document_names_a_place_of_one_machine() -> None:
    """Paths are those of any server, or relative."""
    pattern = re.compile(r"(?<![\w.])/(?:home|mnt|root|tmp|work|Users)/")

    assert [str(page) for page in DOCUMENTS + OTHERS if pattern.search(page.read_text())] == []
