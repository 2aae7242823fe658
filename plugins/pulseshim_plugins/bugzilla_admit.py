"""What of the changes that wait to be published may go: a question to the server at that moment."""

from collections.abc import Sequence

from pulseshim import Envelope, PulseshimError
from pulseshim_plugins.bugzilla_client import Client
from pulseshim_plugins.bugzilla_gate import still_public
from pulseshim_plugins.bugzilla_options import Server


class Gatekeeper:
    """Asks one server, without a key and beside its poller, which has a connection of its own."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._client: Client | None = None

    def admit(self, envelopes: Sequence[Envelope]) -> list[Envelope]:
        """Give those envelopes whose bug is public now. Raises `SourceUnavailable` or `SettingsError`."""
        try:
            return still_public(self._anonymous(), envelopes)
        except PulseshimError:
            self._forget()
            raise

    def _anonymous(self) -> Client:
        if self._client is None:
            client = Client(self._server, "")
            client.connect()
            self._client = client
        return self._client

    def _forget(self) -> None:
        if self._client is not None:
            self._client.close()
        self._client = None
