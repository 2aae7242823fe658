"""A first push of many changesets: read in batches, announced whole, in messages of bounded size."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from pulseshim.testing import MemoryState
from pulseshim_plugins.hg_options import HgOptions
from pulseshim_plugins.hg_server import Servers
from pulseshim_plugins.hg_transaction import read_transaction
from pulseshim_shims.hg import v1_messages, v2_messages
from pulseshim_shims.hg_code import code_messages
from tests.hg_consumers import HOST, accept
from tests.hg_fill import fill

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pulseshim.feed import Invocation
    from pulseshim_shims.hg_event import HgEvent
    from tests.plugins.hg.conftest import HgServer

# More than are listed in one message. All 100,000 of the largest push are read by `make bench`.
MANY = 14_000
LIMIT = 1 << 19


def payloads(events: "Iterator[HgEvent]") -> "Iterator[tuple[str, dict[str, Any]]]":
    """Give what events are announced as, exchange and payload, as they are read: small, and accepted."""
    shims = {"v1": v1_messages, "v2": v2_messages, "code": code_messages}
    bounded = {name: partial(shim, max_bytes=LIMIT) for name, shim in shims.items()}
    for event in events:
        for name, shim in bounded.items():
            for message in shim(event):
                body = msgspec.json.encode(message.payload())
                assert len(body) < LIMIT
                payload = msgspec.json.decode(body)
                accept(name, payload)
                yield name, payload


def memory(name: str) -> int:
    """Give the memory that this process holds (VmRSS) or held at most (VmHWM), in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith(f"{name}:")]
    return int(line.split()[1]) // 1024


def read_all(invocation: "Invocation", options: HgOptions) -> tuple[dict[str, Any], list[str], int]:
    """Give the messages on the push, the ids of those on its changesets, and by how much memory grew."""
    servers = Servers(idle=30)
    before = memory("VmRSS")
    try:
        stream = payloads(read_transaction(invocation, MemoryState(), options, servers))
        push = dict(next(stream) for _ in range(4))
        return push, [payload["id"] for _, payload in stream], memory("VmHWM") - before
    finally:
        servers.close()


def test_a_first_push_of_many_changesets_streams(server: "HgServer") -> None:
    """Heads and counts stand in one message, each changeset in one of its own; memory stays small."""
    repository = server.init()
    fill(partial(server.hg, cwd=repository), server.root.parent / "fill.py", MANY)
    (invocation,) = server.invocations()
    options = HgOptions(repositories={str(server.root): HOST})
    expected = server.hg("log", "-r", "all()", "-T", "{node} ", cwd=repository).split()

    # In a process of its own, which no other test has left memory to.
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        push, each, grown = process.submit(read_all, invocation, options).result()

    assert each == expected
    assert push["v1"]["heads"] == expected[-1:]
    listed = push["code"]["changesets"]
    assert listed == expected[-len(listed) :]
    assert push["code"]["changeset_count"] == MANY
    assert grown < 15


def test_changesets_of_many_files_stream(server: "HgServer") -> None:
    """Each may be large, and be a merge: they are read in their order, and memory stays small."""
    repository = server.init()
    fill(partial(server.hg, cwd=repository), server.root.parent / "fill.py", 400, files=40)
    (invocation,) = server.invocations()
    options = HgOptions(repositories={str(server.root): HOST})
    expected = server.hg("log", "-r", "all()", "-T", "{node} ", cwd=repository).split()

    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        _, each, grown = process.submit(read_all, invocation, options).result()

    assert each == expected
    assert grown < 40
