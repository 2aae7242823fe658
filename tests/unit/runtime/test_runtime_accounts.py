"""The runtime's accounts: which feed publishes as whom, and what becomes of what waits."""

import pytest

from pulseshim import (
    Exchange,
)
from pulseshim.errors import BrokerDenied, SettingsError
from pulseshim.store import Left
from tests.unit.runtime.runtime_site import ONE, TWO, Landed, Plugin, Site, hooked, wait_until


def test_feeds_publish_as_their_accounts_over_a_connection_each(site: Site) -> None:
    """An exchange belongs to one account: the plugin's, the feed's own, or that of `[broker]`."""
    settings = site.settings(("code", "git"), second="git")
    runtime = site.runtime(
        Plugin(hooked("one"), hooked("two", TWO, "code")),
        Plugin(hooked("three", Exchange("exchange/git/v1", "", "", (Landed,)))),
        settings=settings,
    )
    for feed, text in (("one", "a"), ("two", "b"), ("three", "c")):
        site.record(feed, text)

    site.work_off(runtime)

    assert (site.held(), site.held("code"), site.held("git")) == (["a"], ["b"], ["c"])
    assert site.declared == {"": [ONE.name], "code": [TWO.name], "git": ["exchange/git/v1"]}


def test_an_account_that_is_refused_holds_back_nobody_else(site: Site) -> None:
    """Its own messages wait for the password to be corrected."""
    runtime = site.runtime(
        Plugin(hooked("one"), hooked("two", TWO, "code")), settings=site.settings(("code",))
    )
    site.publishers["code"].fault = BrokerDenied("wrong password")
    site.record("two", "b")
    site.record("one", "a")

    runtime.start(watching=False)
    runtime.reader.read_all()
    wait_until(lambda: runtime.left().pending == 1)
    wait_until(lambda: len(runtime.conditions.all()) == 2)
    conditions = {condition.subject: condition.condition for condition in runtime.conditions.all()}

    assert (site.held(), site.held("code")) == (["a"], [])
    assert conditions == {"relay": "connected", "relay code": "denied"}
    assert runtime.stop() == Left(spool=0, pending=1, parked=0)


def test_what_waits_for_an_exchange_follows_it_to_its_new_account(site: Site) -> None:
    """An administrator who gives an exchange to another account loses nothing."""
    before = site.runtime(Plugin(hooked()))
    site.record("tests", "a")
    before.reader.read_all()

    runtime = site.runtime(Plugin(hooked()), settings=site.settings(("code",), first="code"))
    site.work_off(runtime)

    assert (site.held(), site.held("code")) == ([], ["a"])


def test_what_waits_is_published_though_its_plugin_is_gone(site: Site) -> None:
    """It was stored: no plugin is needed to send it."""
    before = site.runtime(Plugin(hooked()))
    site.record("tests", "a")
    before.reader.read_all()

    left = site.work_off(site.runtime())

    assert (site.held(), left.work) == (["a"], 0)


def test_an_account_that_is_not_configured_ends_the_start(site: Site) -> None:
    """Nothing is published as somebody else meanwhile."""
    with pytest.raises(SettingsError, match=r"plugins\.first\.account names no account \('nobody'\)"):
        site.runtime(Plugin(hooked("one", ONE, "nobody")))
