"""However the text of an event stream comes, and whatever stands in it, it is understood or given up.

As in `test_fuzz.py`, `make fuzz` takes many examples of each property.
"""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pulseshim_plugins.buildbot_frames import EventStream
from tests.event_streams import ends, taken, texts, words
from tests.nonsense import fuzz


@fuzz
@given(text=texts, cuts=st.lists(st.integers(0, 150), max_size=6))
def test_an_event_stream_is_the_same_wherever_it_is_cut(text: bytes, cuts: list[int]) -> None:
    """In a few pieces, some of them empty, and byte by byte."""
    places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    pieces = [text[a:b] for a, b in pairwise(places)]

    whole = taken([text])

    assert taken(pieces) == whole
    assert taken([bytes([byte]) for byte in text]) == whole


@fuzz
@given(
    events=st.lists(st.tuples(words, st.lists(words, min_size=1, max_size=3)), max_size=4),
    end=ends,
    space=st.sampled_from([b"", b" "]),
    noise=st.sampled_from([b"", b": a comment", b"id: 3", b"retry:10", b"nonsense"]),
    mark=st.sampled_from([b"", "\ufeff".encode()]),
)
def test_what_an_event_stream_says_is_understood(
    events: list[tuple[str, list[str]]], end: bytes, space: bytes, noise: bytes, mark: bytes
) -> None:
    """However its lines end, with a space behind the colon or none, beside comments and unknown fields."""
    text = mark
    for name, data in events:
        fields = [(b"event", name), *((b"data", line) for line in data)]
        written = [
            field + b":" + (space or b" " * value.startswith(" ")) + value.encode() for field, value in fields
        ]
        text += end.join([noise, *written, noise] if noise else written) + end * 2

    assert taken([text]) == [(name, "\n".join(data)) for name, data in events]


def test_an_event_that_does_not_end_is_given_up() -> None:
    """A stream may go on for ever, an event may not; comments are none."""
    stream = EventStream()
    for _ in range(20):
        assert stream.take(b":" + b"x" * (1 << 20) + b"\n") == []

    for _ in range(15):
        assert stream.take(b"data:" + b"x" * (1 << 20) + b"\n") == []
    with pytest.raises(ValueError, match="does not end"):
        stream.take(b"data:" + b"x" * (1 << 20) + b"\n")
