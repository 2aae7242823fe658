"""Why the broker is of no use now: an error of a library as one of ours, in a sentence with its remedy.

Errors of AMQP are known by their reply code and reply text. https://www.rabbitmq.com/amqp-0-9-1-reference
"""

import socket
import ssl
import struct

from pulseshim.account import Account, Endpoint
from pulseshim.errors import (
    BrokerDenied,
    BrokerError,
    BrokerUnreachable,
    ExchangeRefused,
    PublishRefused,
)
from pulseshim.tls import certificate_fault, is_plain

_ACCESS_REFUSED, _NOT_FOUND, _NOT_ALLOWED, _UNEXPECTED_FRAME = 403, 404, 530, 505
_START = "start it, or correct broker.url or the network"
_OLD = ("PROTOCOL_VERSION", "UNSUPPORTED_PROTOCOL")
_OURS = ("CERTIFICATE", "UNKNOWN_CA")
"""Parts of OpenSSL's reasons: what answers speaks TLS that is too old, or of our certificate."""


def of_connection(error: Exception, account: Account, at: Endpoint) -> BrokerError:
    """Give the error for a connection that could not be opened."""
    code = getattr(error, "reply_code", 0)
    text = reason(error)
    if at.tls and isinstance(error, (ssl.SSLError, ConnectionResetError, BrokenPipeError)):
        return _of_tls(error, account, at)
    if code == _ACCESS_REFUSED or "auth mechanism" in text:
        return _of_login(account, at, text)
    if code == _NOT_ALLOWED and "limit" not in text:
        who = account.user or "us"
        return BrokerDenied(
            f"the broker at {at} does not let {who} into the virtual host {at.vhost} ({text})",
            "correct the path of broker.url, or create the virtual host and set the user's permissions there",
        )
    if code == _UNEXPECTED_FRAME or isinstance(error, (struct.error, KeyError, TypeError, ValueError)):
        return BrokerUnreachable(f"what answers at {at} does not speak AMQP 0-9-1", "correct broker.url")
    hung_up = isinstance(error, (ConnectionResetError, BrokenPipeError)) or "closed connection" in text
    remedy = "see its log; if its port is one for TLS, write amqps:// in broker.url" if hung_up else _START
    return BrokerUnreachable(f"the broker at {at} is not reached ({text})", remedy)


def _of_login(account: Account, at: Endpoint, text: str) -> BrokerDenied:
    if account.user:
        return BrokerDenied(
            f"the broker at {at} refuses the user {account.user}",
            f"correct {account.table}.user and its password, or the user at the broker",
        )
    if "auth mechanism" in text:
        return BrokerDenied(
            f"the broker at {at} takes no client certificate for a login",
            f"enable rabbitmq_auth_mechanism_ssl and EXTERNAL for it, or set {account.table}.user",
        )
    return BrokerDenied(
        f"the broker at {at} knows no user by the client certificate {account.client_certificate}",
        "add the user that it names there (ssl_cert_login_from says which), "
        f"or set {account.table}.user and a password",
    )


def of_lost(error: Exception, address: str) -> BrokerUnreachable:
    """Give the error for a connection that was open."""
    return BrokerUnreachable(
        f"the connection to the broker at {address} was lost ({reason(error)})", "it has to be opened again"
    )


def of_exchange(error: Exception, exchange: str, user: str) -> ExchangeRefused:
    """Give the error for an exchange that cannot be declared, or that is not there."""
    code = getattr(error, "reply_code", 0)
    if code == _NOT_FOUND:
        return ExchangeRefused(
            f"the exchange {exchange} does not exist, and {user} may not create it",
            f"declare it as a user who may (pulseshim declare), or permit {user} to configure it",
        )
    if code == _ACCESS_REFUSED:
        return ExchangeRefused(
            f"{user} may not use the exchange {exchange}", f"permit {user} to configure or write it"
        )
    return ExchangeRefused(
        f"the exchange {exchange} cannot be declared ({reason(error)})",
        "a durable topic exchange is needed: delete the one that is there, or name another",
    )


def of_missing(exchange: str) -> ExchangeRefused:
    """Give the error for an exchange that a consumer asks for, and that is not there."""
    return ExchangeRefused(f"the exchange {exchange} does not exist", "pulseshim declare")


def of_writing(error: Exception, exchange: str, user: str) -> ExchangeRefused:
    """Give the error for an exchange that may not be published to."""
    return ExchangeRefused(
        f"{user} may not write to the exchange {exchange} ({reason(error)})",
        f"permit {user} to write to it (rabbitmqctl set_permissions)",
    )


def of_reading(error: Exception, exchange: str, user: str) -> ExchangeRefused:
    """Give the error for an exchange that a consumer may not bind its queue to."""
    return ExchangeRefused(
        f"{user} may not read the exchange {exchange} ({reason(error)})",
        f"permit {user} to read it, and to configure, write and read queue/{user}/*",
    )


def of_message(error: Exception) -> PublishRefused:
    """Give the error for a channel that was closed because of a message."""
    remedies: dict[int, str] = {
        _ACCESS_REFUSED: "permit the user to write to the exchange",
        _NOT_FOUND: "the exchange is declared again when the channel is opened again",
    }
    code = getattr(error, "reply_code", 0)
    return PublishRefused(
        f"the broker refuses a message ({reason(error)})",
        remedies.get(code, "see whether the broker's limits fit the message"),
    )


def reason(error: Exception) -> str:
    """Give the cause of an error in few words."""
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, socket.gaierror):
        return f"its name is not known: {error.strerror}"
    text = getattr(error, "reply_text", None) or getattr(error, "strerror", None) or str(error)
    return str(text) or type(error).__name__


def _of_tls(error: OSError, account: Account, at: Endpoint) -> BrokerError:
    if isinstance(error, ssl.SSLCertVerificationError):
        what, remedy = certificate_fault(error, account.ca_file, "broker")
        return BrokerDenied(f"the certificate of the broker at {at} {what}", remedy)
    told = getattr(error, "reason", None) or str(error)
    said = told.lower().replace("_", " ")
    ours = account.client_certificate
    trusted = f"set {account.table}.client_certificate and client_key to one that it trusts"
    doubt = f"does not trust our certificate {ours}" if ours else "demands a certificate"
    if not isinstance(error, ssl.SSLError) or isinstance(error, ssl.SSLEOFError):
        # In TLS 1.3 the client is done first: what the broker says of its certificate can be lost.
        problem = f"the broker at {at} hung up during or after the TLS handshake ({said})"
        return BrokerUnreachable(problem, f"see its log; if it {doubt}, {trusted}")
    if is_plain(error):
        return BrokerDenied(f"what answers at {at} does not speak TLS", "correct the port in broker.url")
    if any(word in told for word in _OLD):
        problem = f"the broker at {at} speaks no TLS that is new enough ({said})"
        return BrokerDenied(problem, "enable TLS 1.2 or 1.3 there")
    if any(word in told for word in _OURS):
        refusal = f"refuses our certificate {ours}" if ours else "demands a certificate, and we have none"
        return BrokerDenied(f"the broker at {at} {refusal} ({said})", trusted)
    # In TLS 1.2, that there is no certificate is a failure of the handshake, as that there is no cipher.
    remedy = f"compare both sides' TLS; if the broker {doubt}, {trusted}"
    return BrokerDenied(f"TLS with the broker at {at} fails ({said})", remedy)
