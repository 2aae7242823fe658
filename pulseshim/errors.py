"""Every error that pulseshim raises on purpose.

PulseshimError                 one sentence and a remedy; `exit_code` is the command's
├── SettingsError          2   a setting is wrong: correct the file or the variable it names
├── StoreError             1   the store cannot be used as it is
│   ├── StoreHeld          2   another runtime works on it: stop that one, or wait
│   ├── StoreUnavailable   1   no space, no permission, I/O error: nothing is lost, try again
│   ├── StoreCorrupt       1   the database is damaged: restore it, or move it away
│   └── StoreVersion       1   the database was written by another version of pulseshim
├── BrokerError            3   the broker cannot be used
│   ├── BrokerUnreachable  3   no connection, or it was lost: back off and connect again
│   ├── BrokerDenied       3   wrong password, vhost or certificate: a person must correct it
│   ├── ExchangeRefused    1   one exchange cannot be declared or published to; others can
│   └── PublishRefused     1   the channel was closed because of one of the messages in flight
├── SourceUnavailable      1   a source cannot be asked now: ask again, and not before it says
├── NobodyAdmits           1   no feed says whether a message may be published now: turn it on again
├── Suspicious             1   who wrote an invocation cannot have seen it happen: a person must decide
├── PluginError            1   a plugin cannot be loaded, or gave something that is no feed
├── InvalidDeclaration     1   an exchange, a feed or a message breaks a rule of AMQP or of ours
└── CommandFailed          1   a command could not do what it was asked
"""


class PulseshimError(Exception):
    """What went wrong, in one sentence, with the remedy in another.

    Commands print both and exit with `exit_code`; nobody sees a traceback unless they asked for one.
    """

    exit_code = 1

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.problem}: {self.remedy}" if self.remedy else self.problem


class SettingsError(PulseshimError):
    """A setting is unknown, mistyped or names something that is not there: correct it."""

    exit_code = 2


class StoreError(PulseshimError):
    """The spool or the outbox cannot be used as it is."""


class StoreHeld(StoreError):
    """Another runtime holds the store: stop it, or wait until it has ended."""

    exit_code = 2


class StoreUnavailable(StoreError):
    """The store cannot be written or read now: what is recorded stays where it is, try again."""


class StoreCorrupt(StoreError):
    """The outbox is damaged or is no SQLite database: restore it, or move it out of the way."""


class StoreVersion(StoreError):
    """The outbox has a schema that this version does not know: install the version that wrote it."""


class BrokerError(PulseshimError):
    """The broker cannot be used: what is stored waits for it."""

    exit_code = 3


class BrokerUnreachable(BrokerError):
    """There is no connection to the broker, or it was lost: back off, then connect again."""


class BrokerDenied(BrokerError):
    """The broker, or our check of its certificate, refuses the connection: a person must correct it."""


class ExchangeRefused(BrokerError):
    """One exchange cannot be declared or published to. The connection and the other exchanges are sound."""

    exit_code = 1


class PublishRefused(BrokerError):
    """The broker closed the channel (403, 404, 406) because of one of the messages in flight.

    Which one, it does not say: open the channel again and send them one at a time.
    """

    exit_code = 1


class SourceUnavailable(PulseshimError):
    """A source cannot be asked now: it is down, or asks to come back in `retry_after` seconds (0: any time).

    Where it is a setting that is wrong, `SettingsError` says so.
    """

    def __init__(self, problem: str, remedy: str = "", *, retry_after: float = 0.0) -> None:
        super().__init__(problem, remedy)
        self.retry_after = retry_after


class NobodyAdmits(PulseshimError):
    """A message must be admitted by its feed before it is published, and there is no such feed now."""


class Suspicious(PulseshimError):
    """Who wrote an invocation could not do what it tells, or the source contradicts it: look into it.

    A source raises it. The invocation is parked as suspicious, with its owner.
    """


class PluginError(PulseshimError):
    """A plugin cannot be loaded, or what it gave is no feed: it is quarantined, the others go on."""


class InvalidDeclaration(PulseshimError):
    """An exchange, a feed or a message breaks a rule: it is the plugin that must be corrected."""


class CommandFailed(PulseshimError):
    """A command could not do what it was asked to do."""
