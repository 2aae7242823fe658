"""A Bugzilla as python-bugzilla speaks to it, over REST or XML-RPC, with its weaknesses made good.

The library's `query` makes an object of each bug, which takes thirty times as long as reading it. What stands
below it gives the same answers as they came, and is used here and nowhere else.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from xmlrpc.client import DateTime

from bugzilla import Bugzilla

from pulseshim import PulseshimError, SettingsError, seconds
from pulseshim_plugins.bugzilla_error import NO_SUCH_METHOD, ServerFailed, ServerRefused, explain
from pulseshim_plugins.bugzilla_options import Server
from pulseshim_plugins.bugzilla_session import BugzillaSession

Row = tuple[str, int]
"""The time of a bug's last change (UTC, `2014-04-03T21:13:45`) and its id: in this order they are paged."""

_ORDER = "changeddate,bug_id"
_WHOLE = 10
"""An answer may take so many times as long as the server may be silent."""

_SECONDS = len("2014-04-03T21:13:45")
_COMPACT = len("20140403T21:13:45")
_CHANGE = ("field_name", "removed", "added")


class Client:
    """A connection to one server, with its key or anonymous. Every method raises `PulseshimError` alone.

    `connect` first: it asks for the version, and whether the server knows the key.
    """

    def __init__(self, server: Server, key: str) -> None:
        options = server.options
        self.server = server
        self._key = key
        timeout = seconds(options.timeout)
        self._session = BugzillaSession(timeout, _WHOLE * timeout, options.ca_file)
        self._rest = options.protocol == "rest"
        self._library: Any = Bugzilla(
            None,
            use_creds=False,
            api_key=key or None,
            force_rest=self._rest,
            force_xmlrpc=not self._rest,
            requests_session=self._session,
        )

    @property
    def is_anonymous(self) -> bool:
        """Say whether it asks as anybody might."""
        return not self._key

    def connect(self) -> None:
        """Connect, and see that the key is known; let the connection go where that fails.

        Raises `SettingsError` where a setting is wrong.
        """
        try:
            with self._explained():
                self._library.connect(self.server.url + ("/rest" if self._rest else "/xmlrpc.cgi"))
            if self._key:
                self._log_in()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let the connection go."""
        self._session.close()

    def time(self) -> str:
        """Give the time of the server's database, UTC: changes get theirs from the same clock."""
        with self._explained():
            answer = self._get("time") if self._rest else self._library._proxy.Bugzilla.time()  # noqa: SLF001 - the library calls it part of its API
            return timestamp(answer["db_time"])

    def search(self, since: str, *, limit: int, offset: int = 0) -> list[Row]:
        """Give the bugs that changed at or after a time, by time and id; the server may cut the list."""
        return self._rows(since, limit, {"order": _ORDER, **({"offset": offset} if offset else {})})

    def shown(self, limit: int) -> int:
        """Give how many bugs the server shows at once when it is asked for `limit`: any, in any order."""
        return len(self._rows("1970-01-02T00:00:00", limit, {}))

    def visible(self, ids: Iterable[int], fields: Iterable[str]) -> dict[int, dict[str, Any]]:
        """Give fields of those bugs that may be seen; a bug that may not is left out without a word.

        The server may cut the list, and only an answer without any bug was surely not cut. So those that are
        missing are asked for until all are there or none comes.
        """
        found: dict[int, dict[str, Any]] = {}
        missing, names = list(ids), ["id", *fields]
        while missing:
            answer = self._among(missing, names)
            if not answer:
                break
            found |= answer
            missing = [bug for bug in missing if bug not in found]
        return found

    def history(self, bug: int) -> list[dict[str, Any]]:
        """Give the history of a bug, oldest first: `who`, `when`, and the `changes` of fields."""
        with self._explained():
            (found,) = self._library.bugs_history_raw([bug])["bugs"]
            return [_entry(entry) for entry in found["history"]]

    def _among(self, ids: list[int], names: list[str]) -> dict[int, dict[str, Any]]:
        wanted = self._list([str(bug) for bug in ids] if self._rest else ids)
        with self._explained():
            found = self._found({"id": wanted, "include_fields": self._list(names), "limit": len(ids)})
            return {number: bug for bug in found if (number := int(bug["id"])) in ids}

    def _rows(self, since: str, limit: int, more: dict[str, Any]) -> list[Row]:
        fields = self._list(["id", "last_change_time"])
        with self._explained():
            found = self._found(
                {"last_change_time": self._time(since), "include_fields": fields, "limit": limit, **more}
            )
            return [(timestamp(bug["last_change_time"]), int(bug["id"])) for bug in found]

    def _found(self, parameters: dict[str, Any]) -> list[dict[str, Any]]:
        bugs: list[dict[str, Any]] = self._library._backend.bug_search(parameters)["bugs"]  # noqa: SLF001 - the reason stands at the top
        return bugs

    def _get(self, path: str, parameters: dict[str, Any] | None = None) -> dict[str, Any]:
        answer: dict[str, Any] = self._library._backend._get(path, parameters)  # noqa: SLF001 - as above
        return answer

    def _time(self, text: str) -> str | DateTime:
        # Without a zone a server takes it for its own local time; over XML-RPC it does so with any text.
        return f"{text}Z" if self._rest else DateTime(text.replace("-", ""))

    def _list(self, words: list[Any]) -> Any:
        return ",".join(words) if self._rest else words

    def _log_in(self) -> None:
        """See that the key is taken, by header or by parameter, and whose it is."""
        who = self._whoami() if self._rest else None
        if self._rest and not who:
            self._session.key_in_url = True
            who = self._whoami()
            if who == "":
                raise SettingsError(
                    f"{self.server.where}.api_key_file: {self.server.url} takes no notice of the key",
                    "see that the server allows API keys",
                )
        user = self.server.options.user
        if not user:
            return
        if who is None:
            with self._explained():
                # A key that is not known at all is refused here; without `user`, at the first search.
                login = {"login": user}
                known = self._get("valid_login", login)["result"] if self._rest else self._valid_login(login)
                who = user if known else "another"
        if who.casefold() != user.casefold():
            raise SettingsError(
                f"{self.server.where}.api_key_file: the key is not that of {user}",
                "correct user, or put that account's key into the file",
            )

    def _valid_login(self, login: dict[str, str]) -> bool:
        answer = self._library._proxy.User.valid_login(login)  # noqa: SLF001 - as above
        return bool(answer["result"] if isinstance(answer, dict) else answer)

    def _whoami(self) -> str | None:
        """Give the login name that the server knows us by; empty: none; None: the server cannot say."""
        try:
            with self._explained():
                return str(self._get("whoami").get("name") or "")
        except ServerFailed as error:
            if error.code == NO_SUCH_METHOD:
                return None
            raise
        except ServerRefused as error:
            if error.code == _LOGIN_REQUIRED:
                return ""
            raise

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn whatever the library raises into what it means."""
        try:
            yield
        except PulseshimError:
            raise
        except Exception as error:  # noqa: BLE001 - it raises errors of four families without a common base
            # Their texts have URLs and the server's words in them: nothing of that may be shown.
            raise explain(error, self._session, self.server, self._key) from None


_LOGIN_REQUIRED = 410


def _entry(entry: dict[str, Any]) -> dict[str, Any]:
    """Give an entry of a history, its time without a zone. Raises `KeyError` where it is none."""
    changes = [{**change, **{name: change[name] for name in _CHANGE}} for change in entry["changes"]]
    return {"who": entry["who"], "when": timestamp(entry["when"]), "changes": changes}


def timestamp(time: object) -> str:
    """Give a time as REST (`2014-04-03T21:13:45Z`) or XML-RPC (`20140403T21:13:45`) has it without its zone.

    Raises `ValueError` for another form.
    """
    if isinstance(time, str) and len(time) == _SECONDS + 1 and time[-1] == "Z":
        return time[:-1]
    compact = str(time).removesuffix("Z")
    if isinstance(time, DateTime) and len(compact) == _COMPACT:
        return f"{compact[:4]}-{compact[4:6]}-{compact[6:]}"
    raise ValueError(f"{type(time).__name__} is no time of a Bugzilla")


Search = Callable[[str, int], list[Row]]
"""Gives the bugs that changed at or after a time, from an offset on."""
