"""A first push of many changesets: read in batches, announced whole, in messages of bounded size."""

import tracemalloc
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

import msgspec

from pulseshim_plugins.hg_options import HgOptions
from pulseshim_plugins.hg_transaction import read_transaction
from pulseshim_shims.hg import v1_messages, v2_messages
from pulseshim_shims.hg_code import code_messages
from tests.hg_consumers import HOST, accept

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

    from pulseshim_shims.hg_event import HgEvent
    from tests.plugins.hg.conftest import HgServer

# More than are listed in one message. All changesets of a push of 100,000 are read by `make bench`.
MANY = 32_000
READ = 2500
LIMIT = 1 << 20
FILL = """\
from mercurial import metadata, phases, registrar
cmdtable = {}
command = registrar.command(cmdtable)

@command(b"fill", [], b"COUNT")
def fill(ui, repo, count):
    changelog, nothing = repo.changelog, metadata.ChangingFiles()
    with repo.lock(), repo.transaction(b"fill") as tr:
        node = repo.nullid
        changelog.delayupdate(tr)
        with changelog._writing(tr):
            for n in range(int(count)):
                who, date = b"Ada", b"%d 0" % n
                node = changelog.add(repo.nullid, nothing, b"text", tr, node, repo.nullid, who, date)
        phases.registernew(repo, tr, phases.draft, range(int(count)))
"""


def fill(server: "HgServer", repository: "Path") -> None:
    """Put many changesets into a repository in one transaction: straight into its changelog, for speed."""
    script = server.root.parent / "fill.py"
    script.write_text(FILL)
    server.hg("--config", f"extensions.fill={script}", "fill", str(MANY), cwd=repository)


def payloads(events: "Iterator[HgEvent]") -> "Generator[tuple[str, dict[str, object]], None, None]":
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


def test_a_first_push_of_many_changesets_streams(server: "HgServer") -> None:
    """Heads and counts stand in one message, each changeset in one of its own; memory stays small."""
    repository = server.init()
    fill(server, repository)
    (invocation,) = server.invocations()
    options = HgOptions(repositories={str(server.root): HOST})
    expected = server.hg("log", "-r", "all()", "-T", "{node} ", cwd=repository).split()

    stream = payloads(read_transaction(invocation, server.state, options, server.servers))
    push = dict(next(stream) for _ in range(4))
    tracemalloc.start()
    each = [payload["id"] for _, payload in islice(stream, READ)]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    stream.close()

    assert each == expected[:READ]
    assert push["v1"]["heads"] == expected[-1:]
    listed = push["code"]["changesets"]
    assert isinstance(listed, list)
    assert listed == expected[-len(listed) :]
    assert push["code"]["changeset_count"] == MANY
    assert peak < 16 * 1024 * 1024
