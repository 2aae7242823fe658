"""Fail-over: the first of an account's brokers that answers."""

from collections.abc import Iterator
from dataclasses import replace

from pulseshim.account import Account, check_certificates
from pulseshim.broker import Connection, open_connection
from pulseshim.errors import BrokerDenied, BrokerError, BrokerUnreachable, SettingsError
from pulseshim.password import RENEWED, in_file


def connect(account: Account, *, after: str = "") -> Connection:
    """Give an open connection to the first of an account's URLs that answers, those behind `after` first.

    The password is what its file holds now; where that is refused, it may be on its way to be renewed, and
    the next one is tried. Raises `BrokerDenied` where a person must correct something, else
    `BrokerUnreachable`.
    """
    _check_files(account)
    denied: list[BrokerDenied] = []
    for attempt in _attempts(account):
        try:
            return _connect(attempt, after)
        except BrokerDenied as error:
            denied.append(error)
    raise denied[0]


def _check_files(account: Account) -> None:
    """Say by `BrokerDenied` which of our own files is at fault: it may have been renewed since the start."""
    try:
        check_certificates(account)
    except SettingsError as error:
        raise BrokerDenied(error.problem, error.remedy) from error


def _attempts(account: Account) -> Iterator[Account]:
    """Give an account with each password that may be its own, each read when those before were refused.

    The next password is beside the file before the broker knows it, and in the file's place afterwards.
    """
    yield (first := replace(account, password=_read(account.password_file) or account.password))
    tried = {first.password}
    for path in (account.password_file + RENEWED, account.password_file):
        password = _read(path) if account.password_file else ""
        if password and password not in tried:
            tried.add(password)
            yield replace(account, password=password)


def _read(path: str) -> str:
    try:
        return in_file(path) if path else ""
    except (OSError, UnicodeError):
        return ""


def _connect(account: Account, after: str) -> Connection:
    start = account.urls.index(after) + 1 if after in account.urls else 0
    errors: list[BrokerError] = []
    for url in account.urls[start:] + account.urls[:start]:
        try:
            return open_connection(account, url)
        except BrokerError as error:
            errors.append(error)
    denied = [error for error in errors if isinstance(error, BrokerDenied)]
    first = (denied or errors)[0]
    if denied or len(errors) == 1:
        raise first
    raise BrokerUnreachable("; ".join(error.problem for error in errors), first.remedy) from first
