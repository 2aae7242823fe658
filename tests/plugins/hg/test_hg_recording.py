"""What is written down, and that nothing cuts it short: signals, secret changesets, old servers."""

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.plugins.hg.conftest import HgServer

HOOK = Path(__file__).parents[3] / "contrib" / "hooks" / "hg" / "pulseshim_hg.py"
HG = str(Path(sys.executable).with_name("hg"))
INTERRUPTED = 255

# There is another thread, as there may be in any server: a mask of signals would hold in one of them only.
_SIGNAL = """\
import os
import signal
import threading

threading.Thread(target=threading.Event().wait, daemon=True).start()
# As at a terminal: what is started in the background ignores it.
signal.signal(signal.SIGINT, signal.default_int_handler)
fsync, done = os.fsync, []

def interrupted(file):
    if not done and b"/spool/" in os.readlink(b"/proc/self/fd/%d" % file):
        done.append(file)
        os.kill(os.getpid(), signal.{name})
    return fsync(file)

os.fsync = interrupted
"""


def hook() -> dict[str, Any]:
    """Give what the hook's file defines."""
    names: dict[str, Any] = {"__name__": "pulseshim_hg"}
    exec(compile(HOOK.read_text(), str(HOOK), "exec"), names)  # noqa: S102 - it is how a server loads it
    return names


@pytest.mark.parametrize(
    ("name", "word"), [("SIGINT", "interrupted"), ("SIGHUP", "killed"), ("SIGTERM", "killed")]
)
def test_a_signal_while_it_is_recorded_loses_nothing(
    server: "HgServer", system_hg: str, name: str, word: str
) -> None:
    """The event is recorded, and Mercurial still gets the signal, and ends of it."""
    repository = server.init()
    extension = server.root.parent / "signal.py"
    extension.write_text(_SIGNAL.format(name=name))
    for number, program in enumerate((system_hg, HG)):
        (repository / f"file{number}").write_text("a")
        server.hg("add", "-q", f"file{number}", cwd=repository)
        server.invocations()

        said = server.hg(
            "--config", f"extensions.slow={extension}", "commit", "-m", "a", cwd=repository,
            status=INTERRUPTED, program=program,
        )  # fmt: skip

        assert word in said
        assert "not recorded" not in said
        assert [event.data("changegroup.1")["source"] for event in server.announced()] == ["commit"]
        assert list((server.spool / "tmp").iterdir()) == []


def test_signals_that_come_together_each_have_their_effect() -> None:
    """Held back, then delivered in their order; afterwards, the handlers are those from before."""
    came: list[int] = []
    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, lambda number, _: came.append(number)) for number in numbers]
    seen: list[int] = []

    def action() -> None:
        for number in numbers:
            os.kill(os.getpid(), number)
        seen.extend(came)

    try:
        hook()["uninterrupted"](None, action)
        after = list(came)
        os.kill(os.getpid(), signal.SIGHUP)
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)

    assert (seen, after) == ([], list(numbers))
    assert came == [*numbers, signal.SIGHUP]


def test_revisions_that_follow_each_other_are_one_span() -> None:
    """An old Mercurial names each alone, a newer one ranges: both become as few lines as can be."""
    spans = hook()["spans"]
    came, draft = (None, 1), (2, 1)

    old = spans({0: came, 1: came, 2: came, 4: came, 5: draft, 6: draft})
    new = spans([(range(2), came), (range(2, 3), came), (range(4, 5), came), (range(5, 7), draft)])

    expected = [([0, 1, 2], came), ([4], came), ([5, 6], draft)]
    assert [(list(revs), move) for revs, move in old] == expected
    assert [(list(revs), move) for revs, move in new] == expected


def test_what_is_secret_is_not_written_down_with_bookmarks_and_markers(server: "HgServer") -> None:
    """By the time of reading, nobody may know any more what was secret: the repository may be gone."""
    repository = server.init()
    here = server.client(repository)
    public = here.commit("a", file="a")
    here("bookmark", "-q", "moved")
    secret = here.commit("b", "--secret", file="b")
    here("bookmark", "-q", "embargoed")
    here("commit", "-q", "--amend", "-m", "c")
    here("bookmark", "-q", "-f", "-r", public, "embargoed")

    lines = [tuple(invocation.stdin.split(b"\0")) for invocation in server.invocations()]
    told = [line for line in lines if b"bookmark" in line or b"marker" in line]

    moves = [line[line.index(b"bookmark") + 1 :][:3] for line in told if b"bookmark" in line]
    assert moves == [
        (b"moved", b"", public.encode()),
        (b"moved", public.encode(), b""),
        (b"embargoed", b"", public.encode()),
    ]
    assert not any(b"marker" in line for line in told)
    assert not any(secret.encode() in line[line.index(b"bookmark") :] for line in told)
