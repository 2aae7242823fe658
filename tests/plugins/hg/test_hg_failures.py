"""What Mercurial could not read is an error, and what is gone is told by what was recorded."""

from typing import TYPE_CHECKING

import pytest

from pulseshim_plugins.hg_server import HgFailed, RevisionsGone, failure
from pulseshim_shims.hg_event import HgChangeset

if TYPE_CHECKING:
    from tests.plugins.hg.conftest import HgServer


def test_a_history_that_cannot_be_read_is_not_gone(server: "HgServer") -> None:
    """What Mercurial fails over is an error, to be mended and tried again, whichever file it names."""
    repository = server.init()
    here = server.client(repository)
    here.commit("a", file="a")
    node = here.commit("b", file="b")
    invocations = server.invocations()
    changelog = repository / ".hg" / "store" / "00changelog.i"
    changelog.rename(changelog.with_name("kept"))
    changelog.mkdir()

    with pytest.raises(HgFailed, match="00changelog") as raised:
        server.read(invocations[-1])
    changelog.rmdir()
    changelog.with_name("kept").rename(changelog)
    again = server.read(invocations[-1])

    assert not isinstance(raised.value, RevisionsGone)
    assert [event.node for event in again if isinstance(event, HgChangeset)] == [node]
    assert "gone" not in server.state.counts


@pytest.mark.parametrize(
    ("said", "gone"),
    [
        (f"abort: unknown revision '{'ab' * 20}'", True),
        (f"abort: 00changelog@{'ab' * 20}: no node", True),
        (f"abort: 00changelog.i@{'ab' * 20}: no node!\n", True),
        ("abort: Permission denied: '/srv/hg/r/.hg/store/00changelog.i'", False),
        ("abort: [Errno 13] Permission denied: '/srv/unknown revision 'ab'/00changelog.i'", False),
        ("abort: Input/output error: '/srv/hg/r/.hg/store/00changelog.d'", False),
        ("abort: index 00changelog is corrupted", False),
        ("abort: 00changelog@12: unknown compression type", False),
        ("abort: data/unknown revision.i@ab: no match found", False),
    ],
)
def test_only_what_mercurial_says_of_a_missing_revision_is_gone(said: str, *, gone: bool) -> None:
    """Everything else is an error: taken for a loss, it would lose the messages of the changesets."""
    error = failure("/srv/hg/r", "log", said.encode())

    assert isinstance(error, RevisionsGone) == gone
