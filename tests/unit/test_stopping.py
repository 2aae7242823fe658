"""The signals that end a verb: whatever instant they come at, they are noted, and hold nothing up."""

import subprocess
import sys

AT_EACH_MOMENT = """
import signal, sys
from pulseshim.commands.stopping import stop_signals

def is_interrupted(moment):
    left = moment
    def trace(frame, _event, _argument):
        nonlocal left
        frame.f_trace_opcodes = True
        left -= 1
        if not left:
            signal.raise_signal(signal.SIGTERM)
        return trace

    with stop_signals() as stop:
        sys.settrace(trace)
        stop.wait(0.01)
        sys.settrace(None)
        assert stop.is_set() == (left <= 0)
    return left <= 0

moment = 1
while is_interrupted(moment):
    moment += 1
print(moment)
"""


def test_a_signal_at_any_moment_of_a_wait_is_noted_and_holds_nothing_up() -> None:
    """A lock that the main thread holds when a signal comes would be waited for by its handler for ever."""
    command = [sys.executable, "-c", AT_EACH_MOMENT]

    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 10
