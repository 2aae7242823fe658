"""The key of a poll: how it is told, and when it is refused."""

import pytest

from pulseshim import SettingsError
from pulseshim.testing import MemoryState
from pulseshim_plugins.bugzilla_poll import Poller
from tests.bugzilla_server import BugzillaServer
from tests.plugins.bugzilla.polling import Configure, poll


@pytest.mark.parametrize("takes_header", [True, False])
def test_the_key_is_told_by_header_or_else_by_parameter(
    bugzilla: BugzillaServer, configure: Configure, key_file: str, takes_header: bool
) -> None:
    """A server that ignores the header would give what anybody sees: so the private bug is found on both."""
    bugzilla.takes_header = takes_header
    bugzilla.file(private=True)
    poller, state = Poller(configure(bugzilla.url, api_key_file=key_file)), MemoryState()
    poll(poller, state)
    bugzilla.pass_time(60)
    at = bugzilla.change(1)

    assert poll(poller, state) == [(1, at)]
    assert any("Bugzilla_api_key" in request.url for request in bugzilla.requests) is not takes_header


@pytest.mark.parametrize("protocol", ["rest", "xmlrpc"])
@pytest.mark.parametrize("takes_header", [True, False])
@pytest.mark.parametrize("user", ["", "poller@bugzilla.test"])
def test_a_key_that_is_not_known_is_refused_at_the_first_poll(
    bugzilla: BugzillaServer,
    configure: Configure,
    key_file: str,
    protocol: str,
    takes_header: bool,
    user: str,
) -> None:
    """It is a wrong setting, not an outage, and never anonymity."""
    bugzilla.takes_header = takes_header
    bugzilla.users = {}
    poller = Poller(configure(bugzilla.url, api_key_file=key_file, user=user, protocol=protocol))

    with pytest.raises(SettingsError, match="api_key_file") as refused:
        poll(poller, MemoryState())

    assert "kkkk" not in str(refused.value)


@pytest.mark.parametrize("protocol", ["rest", "xmlrpc"])
@pytest.mark.parametrize("takes_header", [True, False])
def test_the_key_of_somebody_else_is_refused(
    bugzilla: BugzillaServer, configure: Configure, key_file: str, takes_header: bool, protocol: str
) -> None:
    """Where `user` says whose it is, another account's key is a wrong setting."""
    bugzilla.takes_header = takes_header
    options = {"api_key_file": key_file, "protocol": protocol}
    right = Poller(configure(bugzilla.url, user="poller@bugzilla.test", **options))
    wrong = Poller(configure(bugzilla.url, user="admin@bugzilla.test", **options))

    assert poll(right, MemoryState()) == []
    with pytest.raises(SettingsError, match="the key is not that of admin"):
        poll(wrong, MemoryState())


def test_a_key_that_was_corrected_is_taken_without_a_restart(
    bugzilla: BugzillaServer, configure: Configure, key_file: str
) -> None:
    """After a refusal the file is read again."""
    users, bugzilla.users = bugzilla.users, {}
    poller, state = Poller(configure(bugzilla.url, api_key_file=key_file)), MemoryState()
    with pytest.raises(SettingsError):
        poll(poller, state)

    bugzilla.users = users

    assert poll(poller, state) == []
