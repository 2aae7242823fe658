"""A user whose hooks record: a program that records one event after the other, as far as it is let.

    python hook.py SPOOL CONTROL NAME UID KEYS EVENTS

It becomes the user UID. `CONTROL/progress` says which part of its EVENTS it may have recorded by now; its
journal, `CONTROL/NAME.journal`, says of each try whether the hook had reason to believe that it was recorded.
"""

import os
import random
import sys
import time
from collections import Counter
from pathlib import Path

from pulseshim import recorder

LOOK = 0.01
AFTER_FAILURE = 0.05


def become(uid: int) -> None:
    """Be another user, with no group of the old one's."""
    if uid != os.geteuid():
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)


def record(spool: bytes, key: str, number: int, kind: str = "plain") -> str:
    """Record one event and give a line for the journal: ok or failed, id, key, number."""
    identity = os.urandom(16)
    arguments = (key.encode(), b"%d" % number, kind.encode())
    try:
        recorder.record(  # type: ignore[no-untyped-call] # any old interpreter must be able to load it
            spool, b"fault", arguments, (), b"", b"/", time.time_ns(), identity
        )
    except OSError:
        outcome = "failed"
    else:
        outcome = "ok"
    digits = identity.hex()
    name = "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
    return f"{outcome} {name} {key} {number}\n"


def allowed(control: Path, events: int) -> int:
    """Give how many events may have been recorded by now."""
    return int(float((control / "progress").read_text() or 0) * events)


def main(spool: bytes, control: Path, name: str, uid: int, keys: int, events: int) -> None:
    """Record all events, each once it is allowed; one that fails is tried again under a new id."""
    chance = random.Random(name)
    numbers: Counter[str] = Counter()
    done = 0
    with (control / f"{name}.journal").open("w", buffering=1) as journal:
        become(uid)
        while done < events:
            if done >= allowed(control, events):
                time.sleep(LOOK)
                continue
            key = f"{name}.{chance.randrange(keys)}"
            line = record(spool, key, numbers[key])
            journal.write(line)
            if line.startswith("ok"):
                numbers[key] += 1
                done += 1
            else:
                time.sleep(AFTER_FAILURE)


if __name__ == "__main__":
    main(os.fsencode(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], *map(int, sys.argv[4:7]))
