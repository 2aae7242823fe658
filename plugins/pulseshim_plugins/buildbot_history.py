"""Which history of a master it is: where its database began anew or was restored, numbers come again."""

from pulseshim import State

HISTORIES = "histories"
"""The key of a state under which stands, by server, when another history was noticed: seconds since 1970."""


def identity(state: State, server: str) -> str:
    """Give what names a master and its history in identities: the server alone, as long as it has one.

    Listener and reporter both ask for it here. So what they tell of a build has the same ids.
    """
    since = state.get(HISTORIES).get(server)
    return f"{server}#{since}" if since else server


def begin_another(state: State, server: str, now: int) -> None:
    """Take note that a master was seen to have another history; `now` is in seconds since 1970."""
    histories = state.get(HISTORIES)
    # Also where the clock was set back, it is one that was not there yet.
    since = max(now, int(histories.get(server, "0")) + 1)
    state.set(HISTORIES, {**histories, server: str(since)})
