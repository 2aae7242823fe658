"""An exchange, declared as data: what a feed publishes to, and what may be found there."""

import re
from dataclasses import dataclass

from pulseshim.errors import InvalidDeclaration
from pulseshim.message import Message

_NAME = re.compile(r"exchange/[^/\x00-\x20\x7f]+/[^\x00-\x20\x7f]*")
_NAME_BYTES = 255


@dataclass(frozen=True, slots=True)
class Exchange:
    """A durable topic exchange and the types of the messages that are published to it.

    `name` is `exchange/<account>/<name>`: whoever owns the account owns the exchange, as Pulse has it.
    Raises `InvalidDeclaration` where the name or a message type breaks a rule.
    """

    name: str
    title: str
    description: str
    messages: tuple[type[Message], ...]

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name) or len(self.name.encode()) > _NAME_BYTES:
            raise InvalidDeclaration(
                f"{self.name!r} is no name of an exchange",
                "name it exchange/<account>/<name>, without spaces, in at most 255 bytes",
            )
        for message_type in self.messages:
            if not getattr(message_type, "type", ""):
                raise InvalidDeclaration(
                    f"the message {message_type.__name__} of {self.name} has no type",
                    'give it one: type: ClassVar[str] = "source.what-happened"',
                )
