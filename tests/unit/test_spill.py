"""Messages on their way into one step, be they few or many."""

import resource
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import ClassVar

import pytest

from pulseshim import Exchange, Message
from pulseshim.errors import StoreUnavailable
from pulseshim.outbox import Outgoing
from pulseshim.spill import Spill


class Noted(Message, frozen=True, kw_only=True):
    """A message of the tests."""

    type: ClassVar[str] = "tests.noted"
    number: int
    text: str = ""


EXCHANGE = Exchange("exchange/tests/v1", "Tests", "Of the tests.", (Noted,))


OTHER = Exchange("exchange/tests/v2", "Tests", "Of the tests.", (Noted,))
# So many KiB stay in memory.
KEPT = 4096


def outgoing(number: int, text: str = "caf\u00e9") -> Outgoing:
    """Give a message that counts as a KiB, as any small one does."""
    message = Noted(routing_key="a", event_id=str(number), number=number, text=text)
    return Outgoing(message, (EXCHANGE, OTHER)[number % 2], "tests", "", admission=number % 3 == 0)


@pytest.mark.parametrize("count", [0, 1, KEPT - 1, KEPT, KEPT + 1, 2 * KEPT])
def test_what_goes_in_comes_out_in_order(tmp_path: Path, count: int) -> None:
    """Whether it stayed in memory or went into the file makes no difference."""
    given = [outgoing(number) for number in range(count)]

    with Spill(tmp_path) as spill:
        spill.extend(given)

        assert list(spill) == given


def test_it_can_be_filled_in_parts_and_read_twice(tmp_path: Path) -> None:
    """A step that fails for now is made again with the same messages."""
    given = [outgoing(number) for number in range(2 * KEPT)]

    with Spill(tmp_path) as spill:
        for start in range(0, 2 * KEPT, 1000):
            spill.extend(given[start : start + 1000])

        assert list(spill) == given
        assert list(spill) == given


def test_the_file_has_no_name_and_leaves_nothing(tmp_path: Path) -> None:
    """A process that is killed leaves no file behind, so nobody has to sweep."""
    with Spill(tmp_path) as spill:
        spill.extend(map(outgoing, range(KEPT + 1)))
        meanwhile = list(tmp_path.iterdir())

    assert meanwhile == []
    assert list(tmp_path.iterdir()) == []


def test_few_messages_need_no_directory(tmp_path: Path) -> None:
    """The usual push touches no file but the outbox."""
    with Spill(tmp_path / "missing") as spill:
        spill.extend([outgoing(1)])

        assert list(spill) == [outgoing(1)]


def test_many_messages_without_a_place_are_an_error(tmp_path: Path) -> None:
    """The store is at fault and not the plugin: nothing is parked or dropped, it is tried again."""
    with Spill(tmp_path / "missing") as spill, pytest.raises(StoreUnavailable, match=r"missing.*free space"):
        spill.extend(map(outgoing, range(KEPT + 1)))


@pytest.mark.parametrize("number", [0, 1, 2])
def test_what_is_large_does_not_stay_in_memory(tmp_path: Path, number: int) -> None:
    """A few messages may be as large as many small ones."""
    given = [outgoing(number, "x" * (2 << 20)) for number in range(number, number + 20)]
    tracemalloc.start()

    with Spill(tmp_path) as spill:
        before, _ = tracemalloc.get_traced_memory()
        spill.extend(outgoing(number, "x" * (2 << 20)) for number in range(number, number + 20))
        after, _ = tracemalloc.get_traced_memory()
        taken = list(spill)
    tracemalloc.stop()

    assert taken == given
    assert after - before < 8 << 20


def test_what_cannot_be_written_down_goes_through(tmp_path: Path) -> None:
    """Whoever seals it says what is wrong with it."""
    given = [outgoing(1, "caf\udce9"), outgoing(2)]

    with Spill(tmp_path) as spill:
        spill.extend(given)

        assert list(spill) == given


@pytest.mark.parametrize("count", [KEPT + 1, 3 * KEPT])
def test_a_full_disk_is_said_of_the_store(tmp_path: Path, count: int) -> None:
    """Be it met when a message is taken or when the last of them are read back; closing adds no error."""
    program = (
        "import sys; from pathlib import Path\n"
        "from pulseshim.outbox import Outgoing; from pulseshim.errors import StoreUnavailable\n"
        "from pulseshim.spill import Spill; from pulseshim.message import Message\n"
        "try:\n"
        "    with Spill(Path(sys.argv[1])) as spill:\n"
        "        message = Message(routing_key='a', event_id='1')\n"
        "        spill.extend(Outgoing(message, None, 'x' * 90, '') for _ in range(int(sys.argv[2])))\n"
        "        print(len(list(spill)))\n"
        "except StoreUnavailable as error: print(error)\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path, str(count)],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100)),
    )

    assert "(File too large): see that the directory exists" in done.stdout
