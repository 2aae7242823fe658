"""The runtime of those commands that publish. The others need none of what it imports, and start sooner."""

import logging
import os

from pulseshim.account import resolve
from pulseshim.commands.session import Session
from pulseshim.publisher import Publisher
from pulseshim.runtime import Runtime
from pulseshim.store import Store


def runtime_of(session: Session, store: Store) -> Runtime:
    """Give a runtime over a store, with a publisher for each account that has something to publish.

    Raises `SettingsError`.
    """
    broker = session.settings.broker
    runtime = Runtime(
        session.settings,
        store,
        session.plugins(),
        lambda account, exchanges: Publisher(resolve(broker, account, os.environ), exchanges),
    )
    if str(broker.url).startswith("memory:"):
        logging.getLogger(__name__).warning("broker is memory://, no message leaves this process")
    return runtime
