"""The options of the git plugin, and the public URLs that they give."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pulseshim import Settings, SettingsError
from pulseshim_plugins.git import pulseshim_feeds
from pulseshim_plugins.git_url import public_url, url_path

PREFIXES = {
    "/srv/git": "https://git.example.org/",
    "/srv/git/private": "https://intern.example.org/p",
    "/home": "https://home.example.org/~",
}


@pytest.mark.parametrize(
    ("path", "url", "key"),
    [
        ("/srv/git/group/project.git", "https://git.example.org/group/project", "group/project"),
        ("/srv/git/project/.git", "https://git.example.org/project", "project"),
        ("/srv/git/private/x.git", "https://intern.example.org/p/x", "p/x"),
        ("/srv/git/privately.git", "https://git.example.org/privately", "privately"),
        ("/srv/git/a b/ż%.git", "https://git.example.org/a%20b/%C5%BC%25", "a b/ż%"),
        ("/srv/git/caf\udce9", "https://git.example.org/caf%E9", "caf\udce9"),
        ("/srv/git/one.git/two.git", "https://git.example.org/one.git/two", "one.git/two"),
        ("/srv/git/private", "https://intern.example.org/p", "p"),
        ("/home/me/x.git", "https://home.example.org/~/me/x", "~/me/x"),
        ("/srv/gitlab/x.git", "", ""),
    ],
)
def test_a_path_below_the_longest_prefix_gives_the_url(path: str, url: str, key: str) -> None:
    """Prefixes end at components, a last .git goes, and what a URL cannot hold is encoded in it."""
    assert public_url(path, None, PREFIXES) == url
    assert url_path(url) == key


def test_a_prefix_may_be_a_link_to_where_repositories_are(tmp_path: Path) -> None:
    """The hook records real paths; an administrator may name the link."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")

    url = public_url(str(tmp_path / "real" / "x.git"), None, {str(tmp_path / "link"): "https://g.org"})

    assert url == "https://g.org/x"


def test_everything_may_be_public() -> None:
    """The root directory is a prefix, too."""
    assert public_url("/srv/x.git", None, {"/": "https://g.org"}) == "https://g.org/srv/x"


def test_a_repository_at_the_prefix_itself_needs_a_path_in_its_url() -> None:
    """A URL without a path gives no routing key."""
    with pytest.raises(ValueError, match=r"https://g\.org"):
        public_url("/srv/git", None, {"/srv/git": "https://g.org"})


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"repositories": {"srv/git": "https://g.org"}}, "no absolute path"),
        ({"repositories": {"/srv/git": "g.org"}}, "no URL"),
        ({"max_bytes": 16383}, "max_bytes"),
        ({"timeout": "soon"}, "timeout"),
        ({"push_json_url": "https://g.org/{repo}"}, "push_json_url has an unknown field"),
        ({"push_json_url": "https://g.org/{}"}, "push_json_url has an unknown field"),
        ({"push_full_json_url": "https://g.org/{repo_url.__class__}"}, "push_full_json_url"),
        ({"push_full_json_url": "https://g.org/{path!r}"}, "push_full_json_url"),
        ({"push_full_json_url": "https://g.org/{path"}, "is no template"),
        ({"reposotories": {}}, "did you mean repositories"),
    ],
)
def test_an_option_that_cannot_be_used_is_named(table: dict[str, Any], words: str) -> None:
    """A wrong option is an error that names file, key and what was expected."""
    settings = Settings(plugins={"git": table}, origin="/etc/pulseshim/pulseshim.toml")

    with pytest.raises(SettingsError, match=words) as raised:
        list(pulseshim_feeds(settings))

    assert "/etc/pulseshim/pulseshim.toml: plugins.git." in str(raised.value)


def test_without_git_the_plugin_says_what_to_install() -> None:
    """A machine without git gets a sentence and a remedy when pushes are to be read."""
    program = "from pulseshim import *; from pulseshim_plugins.git import *; pulseshim_feeds(Settings())"

    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PATH": "/nonexistent"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert "PluginError: git needs GitPython and git: pip install 'pulseshim[git]'" in done.stderr


def test_the_feed_publishes_where_the_options_say() -> None:
    """Exchange, limit and templates are those of the table."""
    settings = Settings(
        plugins={"git": {"exchange": "exchange/me/pushes", "push_json_url": "{repo_url}/{push_id}"}}
    )

    (feed,) = pulseshim_feeds(settings)

    assert (feed.name, feed.exchange.name) == ("git", "exchange/me/pushes")
    assert [message.type for message in feed.exchange.messages] == ["git.push"]
