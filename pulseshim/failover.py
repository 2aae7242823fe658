"""Fail-over: the first of an account's brokers that answers."""

from pulseshim.account import Account
from pulseshim.broker import Connection, open_connection
from pulseshim.errors import BrokerDenied, BrokerError, BrokerUnreachable


def connect(account: Account, *, after: str = "") -> Connection:
    """Give an open connection to the first of an account's URLs that answers, those behind `after` first.

    Raises `BrokerDenied` where a person must correct something, else `BrokerUnreachable`.
    """
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
