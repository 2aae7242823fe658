"""The sessions that the documents show: each line is typed into a shell, page by page, as it stands there."""

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.docs_shell import FENCE, ROOT, Shell, plain
from tests.bugzilla_server import KEY, BugzillaServer

if TYPE_CHECKING:
    from tests.conftest import RabbitMQ, VirtualHost

PAGES = [
    str(page.relative_to(ROOT))
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
    if "```console" in page.read_text()
]
GERRIT = ROOT / "examples" / "pulseshim-gerrit"
# Lines that are shown and not run, each with its reason.
NOT_RUN = {
    "make demo": "it makes an environment from a package index; the demo itself is run by test_docs.py",
    "make test": "it is what runs this",
    "sudo apt-get install rabbitmq-server": "it changes the machine; the node of the tests stands for it",
    'export PATH="$PWD/.venv/bin:$PATH"': "there is no .venv here, and PATH is set already",
    "useradd --system --home-dir /var/lib/pulseshim pulseshim": "it changes the machine",
    "python3 -m venv /opt/pulseshim": "what is installed there would come from a package index",
    "/opt/pulseshim/bin/pip install '.[git]'": "as above",
    "/opt/pulseshim/bin/pip install '.[bugzilla]'": "as above",
    "/opt/pulseshim/bin/pip install ./pulseshim-gerrit": "as above; the plugin is on PYTHONPATH instead",
    "ln -s /opt/pulseshim/bin/pulseshim /usr/local/bin/pulseshim": "it changes the machine",
    "install -d -o pulseshim -g pulseshim /var/lib/pulseshim": "the account is not there",
    "cp /opt/pulseshim/share/pulseshim/hooks/systemd/pulseshim.service /etc/systemd/system/": "as above",
    "systemctl enable --now pulseshim": "it changes the machine",
    "chgrp git /var/lib/pulseshim/spool/new /var/lib/pulseshim/spool/tmp": "the group is not there",
    "usermod --append --groups git pulseshim": "it changes the machine",
    "sudo rabbitmq-plugins enable rabbitmq_management": "the node of the tests has it",
    "sudo rabbitmqctl add_user admin": "guest stands for the administrator",
    "sudo rabbitmqctl set_user_tags admin administrator": "as above",
    "export PULSESHIM_PROVISION__USER=admin": "as above",
    "read -rs PULSESHIM_PROVISION_PASSWORD && export PULSESHIM_PROVISION_PASSWORD": "as above",
    "pulseshim provision --delete-guest": "as above",
    "systemctl restart pulseshim": "it changes the machine",
}


def test_what_is_not_run_is_still_shown() -> None:
    """A line that no page shows any more is taken off the list."""
    shown = {command for page in PAGES for command, _ in sessions((ROOT / page).read_text())}

    assert NOT_RUN.keys() - shown == set()


@pytest.mark.broker
@pytest.mark.parametrize("page", PAGES)
def test_a_session_goes_as_it_is_shown(
    page: str, tmp_path: Path, vhost: "VirtualHost", bugzilla: BugzillaServer
) -> None:
    """Each command succeeds and prints what the page says, in the order of the page."""
    text = (ROOT / page).read_text()
    make_server(tmp_path)
    if page not in FROM_AN_EMPTY_BROKER:
        make_users(vhost)

    own = "# pulseshim.toml" in text
    with Shell(tmp_path, vhost.url, bugzilla.url, has_own_settings=own).opened() as shell:
        shell.type(f"export PULSESHIM_PROVISION__URL=http://127.0.0.1:{vhost.node.management_port}", [])
        for command in PREPARED.get(page, ()):
            shell.type(command, [])
        for match in FENCE.finditer(text):
            if (
                match["kind"] == "toml"
                and match["text"].startswith("# ")
                and "pyproject" not in match["text"]
            ):
                shell.write(match["text"])
            elif match["kind"] == "json" and shell.tail:
                bugzilla.pass_time()
                bugzilla.change(1)
                assert plain(shell.next_message()) == plain(json.loads(match["text"]))
            elif match["kind"] == "console":
                for command, expected in sessions(match[0]):
                    if command.startswith("rabbitmqctl "):
                        _, verb, *words = shlex.split(command)
                        vhost.node.ctl(verb, "-p", vhost.name, *words)
                    elif command not in NOT_RUN:
                        shell.type(command, expected)


def sessions(text: str) -> Iterator[tuple[str, list[str]]]:
    """Give each command that is typed, and the lines that are shown below it."""
    for match in FENCE.finditer(text):
        if match["kind"] != "console":
            continue
        for part in re.split(r"^\$ ", match["text"], flags=re.MULTILINE)[1:]:
            command, *shown = part.splitlines()
            yield command, shown


# Pages that make the users of the broker themselves: others who may publish as they do would be told.
FROM_AN_EMPTY_BROKER = {"docs/how-to/provision.md"}
# What a page takes for granted: a server that has been at work.
PREPARED = {
    "docs/how-to/operate.md": (
        "pulseshim hook install git /srv/git/group/project.git",
        "git clone -q /srv/git/group/project.git work",
        "git -C work -c user.name=Ada -c user.email=ada@example.org commit -q --allow-empty -m 'A change'",
        "git -C work push -q origin HEAD:main",
        "pulseshim drain",
    ),
    "docs/how-to/provision.md": ("mkdir -p /var/lib/pulseshim",),
}


@pytest.fixture(autouse=True)
def _own_users(rabbitmq: "RabbitMQ") -> Iterator[None]:
    """Leave no user behind: they are those of the whole node, whatever the virtual host."""
    yield
    for user in rabbitmq.api("GET", "users"):
        if user["name"] != "guest":
            rabbitmq.api("DELETE", f"users/{user['name']}")


@pytest.fixture
def bugzilla() -> Iterator[BugzillaServer]:
    """Give a Bugzilla with a bug, an hour old, which changes before each message that is shown."""
    server = BugzillaServer()
    server.users[KEY] = "pulse@example.org"
    server.now = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
    server.file()
    server.now += timedelta(hours=1)
    yield server
    server.close()


def make_server(root: Path) -> None:
    """Make the places of a server below a directory."""
    for name in ("group/project.git", "group/secret.git", "gitlab-project.git", "with-a-hook.git"):
        place = root / "srv" / "git" / name
        subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(place)], check=True)
    hook = root / "srv" / "git" / "with-a-hook.git" / "hooks" / "post-receive"
    hook.write_text("#!/bin/sh\n")
    hook.chmod(0o755)
    (root / "etc" / "pulseshim").mkdir(parents=True)
    (root / "etc" / "pulseshim" / "password").write_text("secret\n")
    (root / "etc" / "pulseshim" / "bugzilla-key").write_text(f"{KEY}\n")
    shutil.copytree(GERRIT, root / "pulseshim-gerrit")
    package = root / "packages" / "pulseshim_gerrit-0.1.0.dist-info"
    package.mkdir(parents=True)
    shutil.copy(GERRIT / "pulseshim_gerrit.py", root / "packages")
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: pulseshim-gerrit\nVersion: 0.1.0\n")
    (package / "entry_points.txt").write_text("[pulseshim]\ngerrit = pulseshim_gerrit\n")


def make_users(vhost: "VirtualHost") -> None:
    """Make the users of the pages at the broker."""
    for user in ("gitpushes", "bugzilla"):
        vhost.node.add_user(user, "secret")
        own = f"^(exchange|queue)/{user}/.*"
        vhost.node.permit(vhost.name, user, configure=own, write=own, read=own)
