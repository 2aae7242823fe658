"""Several Buildbot masters in one service: each has its own login there, and its own account here."""

import json
from base64 import b64encode
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from tests.buildbot_rows import ROWS, master_answer
from tests.web import Answer, Web

if TYPE_CHECKING:
    from tests.acceptance.conftest import Site
    from tests.conftest import VirtualHost

pytestmark = pytest.mark.broker

NAMES = ("ci", "try")
STATES = ("started", "finished", "log_uploaded")


class Guarded(Web):
    """A master that shows itself to one login alone, and has had one build once it is `filled`.

    Its one builder has its name.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self.filled = False
        self._rows = {**ROWS, "builders": [{"builderid": 1, "name": name}]}
        self._login = "Basic " + b64encode(f"{name}-reader:{name}-sesame".encode()).decode()
        self.answer = self._answer

    def _answer(self, path: str, number: int) -> Answer:
        if self.logins[number] != self._login:
            return 401, "application/json", b'{"error": "who is it"}'
        return master_answer(path, filled=self.filled, rows=self._rows)


@pytest.fixture
def guarded() -> Iterator[dict[str, Guarded]]:
    """Give the masters by their names."""
    found = {name: Guarded(name) for name in NAMES}
    yield found
    for web in found.values():
        web.close()


@pytest.fixture
def accounts(vhost: "VirtualHost") -> Iterator[str]:
    """Give the tables of an account for each master, which may publish to its own exchange alone."""
    users = {name: f"masters-{name}" for name in NAMES}
    for name, user in users.items():
        vhost.node.add_user(user, f"{name}-broker")
        own = f"^exchange/{name}/$"
        vhost.node.permit(vhost.name, user, configure=own, write=own, read="^$")
    yield "".join(
        f'[broker.accounts.{name}]\nuser = "{user}"\npassword_file = "{name}-broker"\n'
        for name, user in users.items()
    )
    for user in users.values():
        vhost.node.api("DELETE", f"users/{user}")


def table(name: str, master: str, url: str) -> str:
    """Give the table of a master, by the login and the account of a name."""
    return (
        f'[plugins.buildbot.masters.{master}]\nurl = "{url}"\nexchange = "exchange/{name}/"\n'
        f'events = "none"\nevery = "1s"\naccount = "{name}"\n'
        f'user = "{name}-reader"\npassword_file = "{name}-sesame"\n'
    )


def told(vhost: "VirtualHost", queue: str) -> list[str]:
    """Give the routing keys of the builds in a queue."""
    keys = [json.loads(message.body)["_meta"]["routing_key"] for message in vhost.take(queue)]
    return [key for key in keys if key.startswith("build.")]


def test_each_master_has_a_login_and_an_account_of_its_own(
    make_site: Callable[..., "Site"], vhost: "VirtualHost", accounts: str, guarded: dict[str, Guarded]
) -> None:
    """What happens at one goes to its exchange by its account; one that refuses its login stops no other."""
    queues = {name: vhost.bind_queue(f"exchange/{name}/") for name in NAMES}
    tables = [table(name, name, guarded[name].url) for name in NAMES]
    stranger = table("ci", "stranger", guarded["try"].url.replace("127.0.0.1", "localhost"))
    site = make_site(vhost.url, extra="".join([accounts, *tables, stranger]))
    for name in NAMES:
        (site.root / f"{name}-broker").write_text(f"{name}-broker\n")
        (site.root / f"{name}-sesame").write_text(f"{name}-sesame\n")

    site.start()
    site.wait_until(lambda: site.log.count("master followed") == len(NAMES), "followed")
    for web in guarded.values():
        web.filled = True
    site.wait_until(lambda: sum(row["confirmed"] for row in site.seen()["exchanges"]) >= 12, "published")
    site.wait_until(site.is_done, "all published")
    status = site.status()

    conditions = {row["subject"]: row["condition"] for row in status["conditions"]}
    for name in NAMES:
        assert told(vhost, queues[name]) == [f"build.{name}.1.{state}" for state in STATES]
    assert conditions["stream buildbot.stranger"] == "refused"
    assert {conditions[f"{kind}{name}"] for kind in ("stream buildbot.", "relay ") for name in NAMES} == {
        "connected"
    }
    assert status["parked"]["count"] == 0
