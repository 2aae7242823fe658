"""Who may read a master: nobody but those who log in."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pulseshim import SettingsError
from pulseshim_plugins.buildbot_client import Client
from pulseshim_plugins.buildbot_options import MasterOptions
from tests.buildbot_master import BuildbotMaster

AUTHORISED = """
from buildbot.plugins import util
WWW = {{
    "auth": {auth},
    "authz": util.Authz(
        allowRules=[util.AnyEndpointMatcher(role="readers")],
        roleMatchers=[util.RolesFromUsername(roles=["readers"], usernames=["pulse"])],
    ),
}}
"""
PASSWORD = AUTHORISED.format(auth='util.UserPasswordAuth({"pulse": "sesame"})')
HEADER = AUTHORISED.format(auth='util.RemoteUserAuth(header="X-User", headerRegex="(?P<username>[^ @]+)")')


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BuildbotMaster]:
    """Give a master that shows nothing to strangers."""
    found = BuildbotMaster(tmp_path_factory.mktemp("guarded"), PASSWORD)
    yield found
    found.end()


def test_a_password_opens_the_master(guarded: BuildbotMaster, listening: Any, tmp_path: Path) -> None:
    """With user and password REST and websocket are open; without, or with a wrong one, a remedy is given."""
    guarded.start()
    (tmp_path / "password").write_text("sesame\n")
    (tmp_path / "wrong").write_text("open\n")
    options: Any = {"url": guarded.url, "user": "pulse"}

    try:
        with listening(
            MasterOptions(**options, password_file=str(tmp_path / "password"), events="websocket")
        ) as ear:
            looks = ear.looks
        with listening(MasterOptions(**options, password_file=str(tmp_path / "wrong"))) as wrong:
            pass
        with listening(MasterOptions(url=guarded.url)) as stranger:
            pass
    finally:
        guarded.stop()

    assert looks > 1
    assert ear.failure is None
    assert isinstance(wrong.failure, SettingsError)
    assert "refuses the password" in str(wrong.failure)
    assert isinstance(stranger.failure, SettingsError)
    assert "user and password_file" in str(stranger.failure)


def test_a_token_in_a_header_opens_the_master(guarded: BuildbotMaster, tmp_path: Path) -> None:
    """A token goes into the header that the settings name, and the session that comes of it is kept."""
    (guarded.directory / "extra.py").write_text(f"SERVICES = []\n{HEADER}")
    guarded.start()
    (tmp_path / "token").write_text("pulse\n")
    options = MasterOptions(url=guarded.url, token_file=str(tmp_path / "token"), token_header="X-User")

    with Client(options) as client:
        rows = client.rows("builders")

    assert {row["name"] for row in rows} >= {"good", "bad"}
    assert client.headers["X-User"] == "pulse"
