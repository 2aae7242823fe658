"""Whatever stands where a person, a hook or a server should have written something sensible.

Each property: what comes of it is a value, or an error that pulseshim raises on purpose. PULSESHIM_FUZZ is
the number of examples for each; `make fuzz` takes many.
"""

import json
import math
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pulseshim import Checkpoint, Settings, SettingsError, SourceUnavailable
from pulseshim.errors import PulseshimError
from pulseshim.settings import load
from pulseshim.spool import Misfit, parse
from pulseshim.testing import MemoryState, invocation
from pulseshim_plugins.bugzilla_options import read_servers
from pulseshim_plugins.bugzilla_poll import Poller
from pulseshim_plugins.buildbot_listen import catch_up
from pulseshim_plugins.buildbot_options import MasterOptions
from pulseshim_plugins.git_options import GitOptions
from pulseshim_plugins.git_update import parse_baseline, parse_updates
from pulseshim_plugins.hg_options import HgOptions
from pulseshim_plugins.hg_record import parse_record
from pulseshim_shims.buildbot import buildbot_messages
from tests.bugzilla_server import BugzillaServer, Reply
from tests.buildbot_rows import ROWS, master_answer
from tests.nonsense import fuzz, values
from tests.web import Answer, Web

ids = st.sampled_from([b"0" * 40, b"1" * 40, b"a" * 64, b"f" * 39, b"", b"xyz"])
lines = st.lists(st.lists(st.one_of(ids, st.binary(max_size=20)), max_size=4).map(b" ".join), max_size=6)


@fuzz
@given(stdin=st.one_of(st.binary(max_size=300), lines.map(b"\n".join)))
def test_any_input_of_post_receive_is_a_push_or_an_error(stdin: bytes) -> None:
    """A line is understood whole, or the whole input is refused in a sentence."""
    for parser in (parse_updates, parse_baseline):
        with suppress(PulseshimError):
            parser(stdin)


numbers = st.sampled_from(["0", "1", "-1", "1.5", "nan", "inf", "1e999", "9" * 30, "x", ""])
fields = st.one_of(
    numbers, st.sampled_from(["a" * 40, "0" * 40, "added", "phase", "marker", "bookmark", "head"])
)
records = st.lists(st.one_of(fields, st.text(max_size=5)), max_size=12)
whole_markers = st.tuples(st.just("marker"), st.just("a" * 40), st.just(""), st.text(max_size=5), numbers)


@fuzz
@given(words=st.one_of(records, whole_markers), arguments=st.lists(st.text(max_size=20), max_size=4))
def test_any_record_of_a_transaction_is_one_or_an_error(words: list[str], arguments: list[str]) -> None:
    """And no number in it is one that JSON cannot hold."""
    stdin = "".join(f"{word}\0" for word in words).encode("utf-8", "surrogatepass")
    with suppress(PulseshimError):
        record = parse_record(invocation("hg", *arguments, stdin=stdin))
        assert all(math.isfinite(marker.time) for marker in record.markers)
        assert all(span.count >= 0 for span in record.spans)


@fuzz
@given(content=st.binary(max_size=300).map(lambda rest: b"pulseshim-invocation/1\0" + rest))
def test_any_file_of_the_spool_is_an_invocation_or_a_misfit(content: bytes) -> None:
    """Behind the right beginning, too."""
    with suppress(Misfit):
        parse(content, 0)


@fuzz
@given(
    store=values,
    broker=st.dictionaries(
        st.sampled_from(["url", "user", "ca_file", "heartbeat", "accounts"]), values, max_size=3
    ),
    options=st.dictionaries(
        st.sampled_from(["repositories", "timeout", "max_bytes", "trusted_users", "account"]),
        values,
        max_size=3,
    ),
)
def test_any_settings_are_right_or_an_error_that_names_the_file(
    store: Any, broker: Any, options: Any
) -> None:
    """Wrong types, wrong shapes, unknown keys, at any depth."""
    tables = {"store": store, "broker": broker, "plugins": {"git": options, "hg": options}}
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "pulseshim.toml"
        file.write_text(_toml(tables), encoding="utf-8", errors="surrogatepass")
        assert str(file) in refusal(str(file))


@fuzz
@given(text=st.text(max_size=200))
def test_any_text_is_a_settings_file_or_an_error_that_names_it(text: str) -> None:
    """Also what is no TOML, or no UTF-8."""
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "pulseshim.toml"
        file.write_bytes(text.encode("utf-8", "surrogatepass"))
        assert str(file) in refusal(str(file))


def refusal(file: str) -> str:
    """Give what is wrong with a settings file; its name where nothing is."""
    try:
        found = load(file, {})
        found.options("git", GitOptions)
        found.options("hg", HgOptions)
    except SettingsError as error:
        return error.problem
    return file


@pytest.fixture(scope="module")
def bugzilla() -> Iterator[BugzillaServer]:
    """Give a server with a bug."""
    server = BugzillaServer()
    server.file()
    yield server
    server.close()


answers = st.one_of(
    values.map(lambda value: json.dumps(value).encode()),
    st.fixed_dictionaries({"bugs": values}).map(lambda value: json.dumps(value).encode()),
    st.fixed_dictionaries({"db_time": values, "version": values}).map(
        lambda value: json.dumps(value).encode()
    ),
    st.binary(max_size=40),
)


@fuzz
@given(answer=answers, status=st.sampled_from([200, 200, 200, 400, 500]), nth=st.integers(0, 4))
def test_any_answer_of_a_bugzilla_is_understood_or_an_error(
    bugzilla: BugzillaServer, answer: bytes, status: int, nth: int
) -> None:
    """At whichever of its requests it comes."""
    (server,) = read_servers(Settings(plugins={"bugzilla": {"servers": {"main": {"url": bugzilla.url}}}}))
    state = MemoryState()
    bugzilla.faults = lambda _: None
    list(Poller(server).poll(state))
    bugzilla.pass_time()
    bugzilla.change(1)
    count = iter(range(1000))
    bugzilla.faults = lambda _: Reply(status, answer) if next(count) == nth else None
    with suppress(SourceUnavailable, SettingsError):
        list(Poller(server).poll(state))


class Master(Web):
    """A master that answers one of its requests, the number `fails`, with nonsense."""

    def __init__(self) -> None:
        super().__init__()
        self.nonsense: Answer = (200, "application/json", b"")
        self.fails = -1
        self.filled = False
        self.answer = self._answer
        self._counted = 0

    def begin(self, *, fails: int, nonsense: Answer) -> None:
        """Count requests anew."""
        self.fails, self.nonsense, self._counted = fails, nonsense, 0

    def _answer(self, path: str, _number: int) -> Answer:
        self._counted += 1
        if self._counted == self.fails + 1:
            return self.nonsense
        return master_answer(path, filled=self.filled)


@pytest.fixture(scope="module")
def master() -> Iterator[Master]:
    """Give a master whose answers can be spoilt."""
    found = Master()
    yield found
    found.close()


def spoilt(rows: list[dict[str, Any]], name: str, value: Any) -> list[dict[str, Any]]:
    """Give rows with a value in the place of one field of each."""
    return [{**row, name: value} for row in rows]


row_answers = st.one_of(
    st.sampled_from(list(ROWS)).flatmap(
        lambda resource: st.builds(
            lambda name, value: {resource: spoilt(ROWS[resource], name, value)},
            st.sampled_from([*ROWS[resource][0], "properties", "results", "urls", "files", "sourcestamps"]),
            st.one_of(values, st.just(10**30), st.just(1)),
        )
    ),
    st.dictionaries(st.sampled_from([*ROWS, "meta", "error"]), values, max_size=3),
    values,
).map(lambda answer: json.dumps(answer).encode())


def announced(master: Master, state: MemoryState) -> list[str]:
    """Give the identities of what a look at a master brings, message by message."""
    options = MasterOptions(url=master.url, steps=True)
    events = (event for event in catch_up(state, options, lambda: 1.0) if not isinstance(event, Checkpoint))
    messages = [message for event in events for message in buildbot_messages(event)]
    for message in messages:
        msgspec.json.encode(message.payload())
    return [message.event_id.partition("/")[2] for message in messages]


BUILD = {"changes/1", "buildrequests/1/submitted"} | {
    f"builds/1/{state}" for state in ("started", "finished", "log_uploaded")
}


@fuzz
@given(
    content=st.one_of(row_answers, row_answers, st.binary(max_size=40)),
    status=st.sampled_from([200, 200, 200, 404, 500]),
    nth=st.integers(0, 20),
)
def test_any_answer_of_a_buildbot_is_understood_or_an_error_and_nothing_is_lost(
    master: Master, content: bytes, status: int, nth: int
) -> None:
    """At whichever of its requests it comes: what is refused is found by the next look."""
    state = MemoryState()
    master.filled = False
    master.begin(fails=-1, nonsense=(200, "", b""))
    announced(master, state)
    master.filled = True
    before = MemoryState(state.entries)
    master.begin(fails=nth, nonsense=(status, "application/json", content))

    try:
        announced(master, state)
    except (SourceUnavailable, SettingsError):
        master.begin(fails=-1, nonsense=(200, "", b""))
        assert set(announced(master, before)) >= BUILD


def _toml(tables: dict[str, Any]) -> str:
    """Write tables as TOML, which has no null: where one stands, an empty list does."""
    return "".join(
        f"{msgspec.json.encode(name).decode()} = {_inline(value)}\n" for name, value in tables.items()
    )


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        pairs = (f"{msgspec.json.encode(name).decode()} = {_inline(item)}" for name, item in value.items())
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_inline, value)) + "]"
    return "[]" if value is None else msgspec.json.encode(value).decode()
