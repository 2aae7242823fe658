"""pulseshim announces what happens in version control, bug tracker and CI on a RabbitMQ topic exchange.

Everything a plugin needs is importable from here. Names are loaded when they are first used, so that
`import pulseshim` costs a hook nothing.
"""

# Type checkers take this for true. Importing `typing` for it would cost a hook several milliseconds.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from pulseshim.envelope import Envelope
    from pulseshim.errors import PulseshimError, SettingsError, SourceUnavailable, Suspicious
    from pulseshim.exchange import Exchange
    from pulseshim.feed import Checkpoint, Feed, HookSource, Invocation, PollSource, State, StreamSource
    from pulseshim.hookspecs import hookimpl
    from pulseshim.message import Message, bounded_routing_key, readable
    from pulseshim.parked import Parked
    from pulseshim.problem import Problem
    from pulseshim.settings import Duration, Settings, seconds
    from pulseshim.user import User, user_called

__all__ = [
    "Checkpoint",
    "Duration",
    "Envelope",
    "Exchange",
    "Feed",
    "HookSource",
    "Invocation",
    "Message",
    "Parked",
    "PollSource",
    "Problem",
    "PulseshimError",
    "Settings",
    "SettingsError",
    "SourceUnavailable",
    "State",
    "StreamSource",
    "Suspicious",
    "User",
    "bounded_routing_key",
    "hookimpl",
    "readable",
    "seconds",
    "user_called",
]

_HOMES = {
    "Checkpoint": "feed",
    "Duration": "settings",
    "Envelope": "envelope",
    "Exchange": "exchange",
    "Feed": "feed",
    "HookSource": "feed",
    "Invocation": "feed",
    "Message": "message",
    "Parked": "parked",
    "PollSource": "feed",
    "Problem": "problem",
    "PulseshimError": "errors",
    "Settings": "settings",
    "SettingsError": "errors",
    "SourceUnavailable": "errors",
    "State": "feed",
    "StreamSource": "feed",
    "Suspicious": "errors",
    "User": "user",
    "bounded_routing_key": "message",
    "hookimpl": "hookspecs",
    "readable": "message",
    "seconds": "settings",
    "user_called": "user",
}


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version  # noqa: PLC0415 - it costs a hook 20 ms

        return version("pulseshim")
    if name in _HOMES:
        from importlib import import_module  # noqa: PLC0415 - likewise

        return getattr(import_module(f"pulseshim.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
