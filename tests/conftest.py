"""What tests share: a private RabbitMQ node, a virtual host of one's own, a proxy that fails on demand."""

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest
import trustme
from xdist.remote import Producer  # type: ignore[import-untyped]  # xdist is typed in part
from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped]  # as above

from tests.node import RabbitMQ, VirtualHost
from tests.proxy import LateBroker, TcpProxy

__all__ = ["LateBroker", "RabbitMQ", "TcpProxy", "VirtualHost"]


def pytest_configure() -> None:
    """Have Hypothesis try the same examples in each run, new ones where PULSESHIM_FUZZ asks for them.

    Nobody's change fails by what it has nothing to do with. No example has a deadline: machines are busy.
    """
    settings = hypothesis.settings
    settings.register_profile("pulseshim", deadline=None, derandomize="PULSESHIM_FUZZ" not in os.environ)
    settings.load_profile("pulseshim")


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadFileScheduling:
    """Give each file to one worker, and those that take `bare_rabbitmq` to one as well."""

    class Scheduling(LoadFileScheduling):  # type: ignore[misc]  # as above
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return "provision" if file.startswith("tests/acceptance/test_provision") else file

    return Scheduling(config, log)


@pytest.fixture(autouse=True)
def _own_surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep the user's settings, git configuration and state out of every test."""
    for name in list(os.environ):
        if name.startswith(("PULSESHIM_", "GIT_")) and not name.startswith("PULSESHIM_TEST_"):
            monkeypatch.delenv(name)
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_STATE_HOME", str(home / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "config"))


@pytest.fixture(scope="session")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    """Give the session's RabbitMQ node. Only look and publish: tests that stop it take `own_rabbitmq`."""
    with _running_node(tmp_path_factory.mktemp("rabbitmq")) as node:
        yield node


@pytest.fixture(scope="module")
def own_rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    """Give a RabbitMQ node of the module's own, to be stopped and alarmed; `start()` it again after."""
    with _running_node(tmp_path_factory.mktemp("own-rabbitmq")) as node:
        yield node


@pytest.fixture(scope="session")
def bare_rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    """Give a RabbitMQ node on which there is nothing: who takes it leaves it as it was."""
    with _running_node(tmp_path_factory.mktemp("bare-rabbitmq")) as node:
        yield node


@pytest.fixture
def vhost(rabbitmq: RabbitMQ) -> Iterator[VirtualHost]:
    """Give a fresh virtual host on the session's node; guest may do everything there."""
    host = rabbitmq.add_vhost()
    yield host
    rabbitmq.api("DELETE", f"vhosts/{host.name}")


@pytest.fixture
def tcp_proxy() -> Iterator[Callable[..., TcpProxy]]:
    """Give a maker of proxies: `tcp_proxy(target)` listens on a port of its own and forwards to `target`."""
    with contextlib.ExitStack() as stack:

        def make(target: int, certificate: trustme.LeafCert | None = None, *, port: int = 0) -> TcpProxy:
            return stack.enter_context(contextlib.closing(TcpProxy(target, certificate, port=port)))

        yield make


@pytest.fixture
def late(vhost: VirtualHost, tcp_proxy: Callable[..., TcpProxy]) -> LateBroker:
    """Give the virtual host at an address that refuses connections until it is told to come."""
    return LateBroker(vhost, tcp_proxy)


@contextlib.contextmanager
def _running_node(directory: Path) -> Iterator[RabbitMQ]:
    node = RabbitMQ(directory)
    try:
        node.start()
        yield node
    finally:
        node.kill()
