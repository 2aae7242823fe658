"""The client of the REST API beside servers that answer as real ones have been seen to."""

import json
import traceback
import urllib.parse
from base64 import b64decode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from pulseshim import PulseshimError, SettingsError
from pulseshim.settings import Settings
from pulseshim.testing import MemoryState
from pulseshim_plugins.buildbot import pulseshim_problems
from pulseshim_plugins.buildbot_client import Client, MasterUnavailable
from pulseshim_plugins.buildbot_cursor import new_rows
from pulseshim_plugins.buildbot_options import MasterOptions, masters
from tests.web import Answer, Web

if TYPE_CHECKING:
    from tests.conftest import TcpProxy


@pytest.fixture
def web() -> Iterator[Web]:
    """Give a server that answers as the test says."""
    found = Web()
    yield found
    found.close()


def page(name: str, rows: list[dict[str, Any]]) -> Answer:
    """Give an answer with rows."""
    return 200, "application/json", json.dumps({name: rows, "meta": {}}).encode()


def test_an_answer_that_is_cut_short_is_read_again(web: Web) -> None:
    """Half an answer is none: Buildbot 4.2 and 4.3 send some now and then."""
    whole = page("changes", [{"changeid": 1}])
    web.answer = lambda _path, number: whole if number else (200, "application/json", whole[2][:-5])

    with Client(MasterOptions(url=web.url)) as client:
        rows = client.rows("changes")

    assert rows == [{"changeid": 1}]
    assert len(web.requests) == 2


def test_answers_that_are_always_cut_short_are_an_error(web: Web) -> None:
    """What cannot be read whole is not read at all."""
    web.answer = lambda _path, _number: (200, "application/json", b'{"builds": [{"buildid": 1}')

    with Client(MasterOptions(url=web.url)) as client, pytest.raises(MasterUnavailable, match="cut short"):
        client.rows("builds")


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        ((200, "text/html", b"<html>log in</html>"), SettingsError, "is no Buildbot"),
        ((302, "text/html", b""), SettingsError, "is no Buildbot"),
        ((404, "text/html", b"<html>"), SettingsError, "is no Buildbot"),
        ((403, "text/plain", b'{"error": "no"}'), SettingsError, "refuses to show builds"),
        ((500, "text/plain", b'{"error": "no"}'), MasterUnavailable, "HTTP 500"),
        ((502, "text/html", b"<html>"), MasterUnavailable, "HTTP 502"),
    ],
)
def test_what_is_no_answer_is_named(web: Web, answer: Answer, kind: type[PulseshimError], said: str) -> None:
    """A login page, another server, a refusal or a failure are told apart, with a remedy."""
    web.answer = lambda _path, _number: answer

    with Client(MasterOptions(url=web.url)) as client, pytest.raises(kind, match=said) as caught:
        client.rows("builds")

    assert caught.value.remedy


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([{"buildid": "s3cr3t"}], "buildid"),
        ([{"changeid": 1}, 7], "Expected `object`"),
        ([{"changeid": -1}], "Expected `int` >= 0"),
        ([{"changeid": 2**70}], "Expected `int`"),
        ("rows", "Expected `array`"),
        ([{"changeid": 0}], "not those after a number"),
    ],
)
def test_rows_that_are_none_of_a_master_are_an_error_that_says_why(web: Web, rows: Any, says: str) -> None:
    """And it is told by the names and types of fields: what stands in them is nobody's business."""
    web.answer = lambda _path, _number: page("changes", rows)

    with Client(MasterOptions(url=web.url)) as client, pytest.raises(MasterUnavailable) as raised:
        client.after("changes", "changeid", 0)

    told = str(raised.value)
    assert "rows of changes" in told
    assert says.replace("buildid", "changeid") in told
    assert "s3cr3t" not in told


def test_half_a_surrogate_pair_becomes_a_question_mark(web: Web) -> None:
    """JSON may hold what UTF-8 may not."""
    web.answer = lambda _path, _number: (
        200,
        "application/json",
        b'{"changes": [{"changeid": 1, "x": "a\\ud800b"}]}',
    )

    with Client(MasterOptions(url=web.url)) as client:
        rows = client.rows("changes")

    assert rows == [{"changeid": 1, "x": "a?b"}]


def test_a_row_that_becomes_visible_late_is_found(web: Web) -> None:
    """A number that was left out is looked for again for two minutes, and then no more."""
    visible = [1, 2, 4]

    def answer(path: str, _number: int) -> Answer:
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(path).query)
        after = int(query.get("changeid__gt", ["0"])[0])
        among = {int(text) for text in query.get("changeid", [])}
        found = [n for n in visible if (n in among if among else n > after)]
        return page("changes", [{"changeid": number} for number in found])

    web.answer = answer
    state = MemoryState({"cursor": {"changes": "0"}})

    def look(now: int) -> list[int]:
        pages = new_rows(client, state, "changes", "changeid", now)
        return [row["changeid"] for rows in pages for row in rows]

    with Client(MasterOptions(url=web.url)) as client:
        first = look(1000)
        visible.insert(2, 3)
        second, third = look(1030), look(1060)
        visible.append(6)
        fourth = look(1090)
        late = look(1300)
        visible.append(5)
        too_late = look(1330)

    assert (first, second, third, fourth) == ([1, 2, 4], [3], [], [6])
    assert (late, too_late) == ([], [])
    assert state.entries["gaps changes"] == {}


def test_check_names_a_master_that_cannot_be_read(web: Web) -> None:
    """`check` asks each master once and says what is wrong, with the remedy; settings are told apart."""
    web.answer = lambda _path, _number: (200, "text/html", b"<html>")
    tables = {"buildbot": {"masters": {"ci": {"url": web.url}, "gone": {"url": "http://127.0.0.1:1/"}}}}

    problems = list(
        pulseshim_problems(settings=Settings(plugins=tables), states=lambda _feed: MemoryState(), waiting=0)
    )

    assert [problem.subject for problem in problems] == ["settings", "buildbot.gone"]
    assert problems[0].text == f"buildbot.ci: {web.url} is no Buildbot: no REST API answers there (HTTP 200)"
    assert "does not answer (" in problems[1].text
    assert "object at" not in problems[1].text


def test_a_secret_is_not_sent_in_the_clear(tmp_path: Path) -> None:
    """Nor are half a login or an address that is none taken; the key is named."""
    wrong: list[dict[str, Any]] = [
        {"url": "http://ci.example.org/", "user": "pulse", "password_file": str(tmp_path)},
        {"url": "https://ci.example.org/", "user": "pulse"},
        {"url": "https://user:pw@ci.example.org/"},
        {"url": "ci.example.org"},
        {"url": "https://ci.example.org/", "ca_file": str(tmp_path / "none")},
    ]

    for table in wrong:
        with pytest.raises(SettingsError, match=r"plugins\.buildbot\.masters\.ci"):
            masters(Settings(plugins={"buildbot": {"masters": {"ci": table}}}))


@pytest.mark.parametrize(
    ("key", "time"),
    [
        *(("every", time) for time in ("0s", "1ms", "0.9s")),
        *(("heartbeat", time) for time in ("1ms", "0.01m")),
        ("timeout", "0s"),
    ],
)
def test_a_time_that_would_flood_a_master_is_refused(key: str, time: str) -> None:
    """Once a second is the most that one is asked, or told of."""
    wrong = {"url": "https://ci.example.org/", key: time}
    right = {"url": "https://ci.example.org/", "every": "1s", "heartbeat": "0s"}

    with pytest.raises(SettingsError, match=rf"plugins\.buildbot\.masters\.ci\.{key} is "):
        masters(Settings(plugins={"buildbot": {"masters": {"ci": wrong}}}))
    assert masters(Settings(plugins={"buildbot": {"masters": {"ci": right}}}))["ci"].every == "1s"


@pytest.mark.parametrize("content", [b"", b"\n", b"s3cr3t\nsecond", b"s3cr3t\0", b"s3cr3t\xff"])
@pytest.mark.parametrize("kind", ["password", "token"])
def test_a_file_that_holds_no_secret_is_named_and_not_shown(
    tmp_path: Path, kind: str, content: bytes
) -> None:
    """What is wrong in it is most likely a secret, too."""
    (tmp_path / "file").write_bytes(content)
    own: dict[str, Any] = {f"{kind}_file": str(tmp_path / "file"), "user": "ci" if kind == "password" else ""}

    with pytest.raises(SettingsError, match=rf"{kind}_file.* {tmp_path / 'file'} ") as raised:
        Client(MasterOptions(url="https://ci.example.org/", **own))

    shown = "".join(traceback.format_exception(raised.value))
    assert "s3cr3t" not in shown
    assert "xff" not in shown


def test_a_password_may_have_blanks_and_any_letters(tmp_path: Path) -> None:
    """And the line that it stands in may end."""
    (tmp_path / "file").write_text("sésame öffne dich\n")
    options = MasterOptions(url="https://ci.example.org/", user="ci", password_file=str(tmp_path / "file"))

    sent = Client(options).headers["Authorization"].removeprefix("Basic ")

    assert b64decode(sent).decode() == "ci:sésame öffne dich"


def test_a_certificate_that_nobody_vouches_for_is_a_wrong_setting(
    web: Web, tcp_proxy: Callable[..., "TcpProxy"], tmp_path: Path
) -> None:
    """With its authority in ca_file the same master is read; a port without TLS does not answer."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    web.answer = lambda _path, _number: page("changes", [{"changeid": 1}])
    proxy = tcp_proxy(web.server.server_port, authority.issue_cert("127.0.0.1"))
    url = f"https://127.0.0.1:{proxy.port}/"

    with pytest.raises(SettingsError, match=r"no certificate that we trust \(.+\).* ca_file"):
        Client(MasterOptions(url=url)).rows("changes")
    with pytest.raises(MasterUnavailable, match="does not answer"):
        Client(MasterOptions(url=web.url.replace("http", "https"))).rows("changes")
    with Client(MasterOptions(url=url, ca_file=str(tmp_path / "ca.pem"))) as client:
        assert client.rows("changes") == [{"changeid": 1}]


def test_a_masters_own_table_overrides_what_is_shared() -> None:
    """Each key of `[plugins.buildbot]` is the default of all masters."""
    tables: dict[str, Any] = {
        "every": "1m",
        "steps": True,
        "masters": {
            "a": {"url": "https://a.example.org/", "steps": False, "account": "other"},
            "b": {"url": "https://b.example.org/"},
        },
    }

    found = masters(Settings(plugins={"buildbot": tables}))

    assert (found["a"].every, found["a"].steps, found["a"].account) == ("1m", False, "other")
    assert (found["b"].every, found["b"].steps, found["b"].account) == ("1m", True, None)
