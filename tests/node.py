"""A private RabbitMQ node, and a virtual host of one's own on it."""

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import amqp
import pytest
import trustme

from tests.ports import free_ports

START_SECONDS = 180
ANSWER_SECONDS = 60
STOP_SECONDS = 15
CTL_SECONDS = 180
INSTALL = "install it: apt-get install rabbitmq-server (or name another in $PULSESHIM_TEST_RABBITMQ_SERVER)"

CONFIGURATION = """\
listeners.tcp.1 = 127.0.0.1:{port}
listeners.ssl.1 = 127.0.0.1:{tls_port}
ssl_options.cacertfile = {directory}/ca.pem
ssl_options.certfile = {directory}/server.pem
ssl_options.keyfile = {directory}/server.key
ssl_options.verify = verify_peer
ssl_options.fail_if_no_peer_cert = false
max_message_size = 16777216
auth_mechanisms.1 = PLAIN
auth_mechanisms.2 = AMQPLAIN
auth_mechanisms.3 = EXTERNAL
ssl_cert_login_from = common_name
management.tcp.ip = 127.0.0.1
management.tcp.port = {management_port}
"""


class RabbitMQ:
    """A RabbitMQ node on free loopback ports, all it writes below one directory, as root or as anybody.

    It keeps its ports and its data over `stop()` or `kill()` and `start()`. `ca_file` verifies `tls_port`,
    whose certificate is for 127.0.0.1 and localhost.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port, self.tls_port, self.management_port, *self._inner_ports = free_ports(5)
        self.ca = trustme.CA()
        self.ca_file = directory / "ca.pem"
        self._programs = _server_directory()
        self._environment = self._prepare()
        self._processes: list[subprocess.Popen[bytes]] = []

    def url(self, vhost: str = "/", *, user: str = "", password: str = "", tls: bool = False) -> str:
        """Give the AMQP URL of a virtual host, with user and password in it if they are given."""
        login = f"{user}:{password}@" if user else ""
        scheme, port = ("amqps", self.tls_port) if tls else ("amqp", self.port)
        return f"{scheme}://{login}127.0.0.1:{port}/{urllib.parse.quote(vhost, safe='')}"

    def connect(self, vhost: str = "/", user: str = "guest", password: str = "guest") -> amqp.Connection:
        """Give an open py-amqp connection: what a test looks at the broker with."""
        connection = amqp.Connection(
            f"127.0.0.1:{self.port}",
            virtual_host=vhost,
            userid=user,
            password=password,
            login_method="PLAIN",
            connect_timeout=ANSWER_SECONDS,
        )
        try:
            connection.connect()
        except BaseException:
            connection.collect()  # what a broker refuses, or does not go on with, it leaves open
            raise
        return connection

    def start(self) -> None:
        """Start the node and wait until it speaks AMQP and its management interface answers."""
        epmd = shutil.which("epmd")
        if epmd:
            # The one that Erlang starts by itself would be a daemon and outlive the node.
            port = self._environment["ERL_EPMD_PORT"]
            self._spawn([epmd, "-port", port, "-address", "127.0.0.1"])
        server = self._spawn([str(self._programs / "rabbitmq-server")])
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if server.poll() is not None or time.monotonic() > deadline:
                self.kill()
                pytest.fail(f"RabbitMQ did not start:\n{self._output()}")
            time.sleep(0.1)

    def stop(self) -> None:
        """Stop the node as an administrator would: connections are closed, everything is on disk."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kill the node: nothing is closed, nothing is flushed."""
        self._end(signal.SIGKILL)

    def ctl(self, *arguments: str) -> str:
        """Run rabbitmqctl (a second or so each) and give what it printed."""
        done = subprocess.run(
            [self._programs / "rabbitmqctl", "--quiet", *arguments],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=CTL_SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"rabbitmqctl {arguments}: {done.stdout}{done.stderr}"
        return done.stdout

    def api(self, method: str, path: str, content: Any = None) -> Any:
        """Call the management interface (some milliseconds) and give its answer."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.management_port}/api/{path}",
            method=method,
            data=None if content is None else json.dumps(content).encode(),
            headers={
                "Authorization": "Basic " + b64encode(b"guest:guest").decode(),
                "Content-Type": "application/json",
            },
        )
        with urllib.request.urlopen(request, timeout=CTL_SECONDS) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def add_vhost(self, name: str = "") -> "VirtualHost":
        """Add a virtual host in which guest may do everything."""
        name = name or f"test-{secrets.token_hex(4)}"
        self.api("PUT", f"vhosts/{name}", {})
        self.permit(name, "guest")
        return VirtualHost(self, name)

    def add_user(self, name: str, password: str) -> None:
        """Add a user without any permission."""
        self.api("PUT", f"users/{name}", {"password": password, "tags": ""})

    def permit(
        self, vhost: str, user: str, *, configure: str = ".*", write: str = ".*", read: str = ".*"
    ) -> None:
        """Set what a user may do in a virtual host: a pattern of names for each kind of deed."""
        permissions = {"configure": configure, "write": write, "read": read}
        self.api("PUT", f"permissions/{urllib.parse.quote(vhost, safe='')}/{user}", permissions)

    def _prepare(self) -> dict[str, str]:
        """Write the node's configuration, and give the environment it runs in."""
        directory = self.directory
        self.ca.cert_pem.write_to_path(self.ca_file)
        certificate = self.ca.issue_cert("127.0.0.1", "localhost")
        certificate.private_key_pem.write_to_path(directory / "server.key")
        for number, part in enumerate(certificate.cert_chain_pems):
            part.write_to_path(directory / "server.pem", append=number > 0)
        settings = CONFIGURATION.format(
            port=self.port,
            tls_port=self.tls_port,
            management_port=self.management_port,
            directory=directory,
        )
        (directory / "rabbitmq.conf").write_text(settings)
        (directory / "advanced.config").write_text("[].\n")
        (directory / "plugins").write_text("[rabbitmq_management,rabbitmq_auth_mechanism_ssl].\n")
        (directory / "environment.conf").write_text("")
        (directory / ".erlang.cookie").write_text(secrets.token_hex(16))
        (directory / ".erlang.cookie").chmod(0o400)
        loopback_only = "-kernel inet_dist_use_interface {127,0,0,1}"
        return {
            "HOME": str(directory),
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(self._inner_ports[0]),
            "RABBITMQ_NODENAME": f"pulseshim-{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self._inner_ports[1]),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": loopback_only,
            "RABBITMQ_CTL_ERL_ARGS": loopback_only,
            "RABBITMQ_CONF_ENV_FILE": str(directory / "environment.conf"),
            "RABBITMQ_CONFIG_FILE": str(directory / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(directory / "advanced.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "plugins"),
            "RABBITMQ_GENERATED_CONFIG_DIR": str(directory / "generated"),
            "RABBITMQ_MNESIA_BASE": str(directory / "mnesia"),
            "RABBITMQ_LOG_BASE": str(directory / "log"),
            "RABBITMQ_PID_FILE": str(directory / "pid"),
        }

    def _spawn(self, command: list[str]) -> subprocess.Popen[bytes]:
        with (self.directory / "output").open("ab") as output:
            process = subprocess.Popen(
                command,
                env=self._environment,
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._processes.append(process)
        return process

    def _end(self, how: signal.Signals) -> None:
        """End the server and whatever runs in its process group, and then epmd."""
        for process in reversed(self._processes):
            for number in (how, signal.SIGKILL):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, number)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(STOP_SECONDS)
        self._processes.clear()

    def _answers(self) -> bool:
        try:
            self.connect().close()
            self.api("GET", "whoami")
        except (OSError, amqp.AMQPError, urllib.error.URLError):
            return False
        return True

    def _output(self) -> str:
        return (self.directory / "output").read_text(errors="replace")[-4000:]


def _server_directory() -> Path:
    """Give the directory of rabbitmq-server and rabbitmqctl. Debian's in /usr/sbin are for root only."""
    named = os.environ.get("PULSESHIM_TEST_RABBITMQ_SERVER")
    usual = ["/usr/lib/rabbitmq/bin/rabbitmq-server", shutil.which("rabbitmq-server")]
    for server in [named] if named else usual:
        if server and os.access(server, os.X_OK):
            return Path(server).parent
    pytest.fail(f"there is no {named or 'rabbitmq-server'}: {INSTALL}")


@dataclass(frozen=True, slots=True)
class VirtualHost:
    """A virtual host of a node, and what tests look at in it."""

    node: RabbitMQ
    name: str

    @property
    def url(self) -> str:
        """Give the URL that a broker's settings take: without a user or a password."""
        return self.node.url(self.name)

    def bind_queue(
        self, exchange: str, binding_key: str = "#", arguments: dict[str, Any] | None = None
    ) -> str:
        """Declare a durable topic exchange and a durable queue bound to it, and give the queue's name."""
        with self.node.connect(self.name) as connection:
            channel = connection.channel()
            channel.exchange_declare(exchange, "topic", durable=True, auto_delete=False)
            queue: str = channel.queue_declare(
                f"queue-{secrets.token_hex(4)}", durable=True, auto_delete=False, arguments=arguments
            ).queue
            channel.queue_bind(queue, exchange, binding_key)
        return queue

    def take(self, queue: str) -> list[amqp.Message]:
        """Give all messages that are in a queue, and acknowledge them."""
        messages: list[amqp.Message] = []
        with self.node.connect(self.name) as connection:
            channel = connection.channel()
            channel.auto_decode = False
            while message := channel.basic_get(queue, no_ack=True):
                messages.append(message)
        return messages
