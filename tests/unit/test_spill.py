"""Messages on their way into one step, be they few or many."""

import resource
import subprocess
import sys
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


def outgoing(number: int) -> Outgoing:
    message = Noted(routing_key="a", event_id=str(number), number=number, text="caf\udce9")
    return Outgoing(message, EXCHANGE, "tests", "")


@pytest.mark.parametrize("count", [0, 1, 999, 1000, 1001, 3500])
def test_what_goes_in_comes_out_in_order(tmp_path: Path, count: int) -> None:
    """Whether it stayed in memory or went into the file makes no difference."""
    given = [outgoing(number) for number in range(count)]

    with Spill(tmp_path) as spill:
        spill.extend(given)

        assert list(spill) == given


def test_it_can_be_filled_in_parts_and_read_twice(tmp_path: Path) -> None:
    """A step that fails for now is made again with the same messages."""
    given = [outgoing(number) for number in range(2400)]

    with Spill(tmp_path) as spill:
        for start in range(0, 2400, 600):
            spill.extend(given[start : start + 600])

        assert list(spill) == given
        assert list(spill) == given


def test_the_file_has_no_name_and_leaves_nothing(tmp_path: Path) -> None:
    """A process that is killed leaves no file behind, so nobody has to sweep."""
    with Spill(tmp_path) as spill:
        spill.extend(map(outgoing, range(1500)))
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
        spill.extend(map(outgoing, range(1001)))


@pytest.mark.parametrize("count", [1001, 3500])
def test_a_full_disk_is_said_of_the_store(tmp_path: Path, count: int) -> None:
    """Be it met when a message is taken or when the last of them are read back; closing adds no error."""
    program = (
        "import sys; from pathlib import Path\n"
        "from pulseshim.outbox import Outgoing; from pulseshim.errors import StoreUnavailable\n"
        "from pulseshim.spill import Spill\n"
        "try:\n"
        "    with Spill(Path(sys.argv[1])) as spill:\n"
        "        spill.extend(Outgoing(None, None, 'x' * 90, '') for _ in range(int(sys.argv[2])))\n"
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
