"""Streams of Server-Sent Events, of sense and nonsense."""

from hypothesis import strategies as st

from pulseshim_plugins.buildbot_frames import EventStream

ends = st.sampled_from([b"\n", b"\r", b"\r\n"])
words = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=8)
lines = st.one_of(
    st.sampled_from(
        [b"", b"", b"data", b"data:", b"data: x", b"data:x", b"event: event", b"event", b":", b"id: 7"]
    ),
    st.builds(
        lambda field, text: f"{field}{text}".encode(), st.sampled_from(["data: ", "event:", ": "]), words
    ),
    st.binary(max_size=10),
)
texts = st.lists(st.tuples(lines, ends).map(b"".join), max_size=12).map(b"".join)


def taken(pieces: list[bytes]) -> list[tuple[str, str]]:
    """Give the events of a stream that comes in these pieces."""
    stream = EventStream()
    return [event for piece in pieces for event in stream.take(piece)]
