"""What is wrong with the TLS of a server: in few words, with the remedy in the keys of a settings table."""

import ssl

_EXPIRED, _NOT_YET, _SELF_SIGNED, _OTHER_HOST, _OTHER_ADDRESS = 10, 9, 18, 62, 64
"""Results of verification, as in OpenSSL's x509_vfy.h."""
_PLAIN = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "UNEXPECTED_MESSAGE", "HTTP_REQUEST")
"""OpenSSL's reasons where what answers speaks no TLS."""


def certificate_fault(error: ssl.SSLCertVerificationError, ca_file: str, table: str) -> tuple[str, str]:
    """Give what is wrong with a server's certificate, as the end of a sentence, and the remedy."""
    authorities = ca_file or "the system's authorities"
    faults: dict[int, tuple[str, str]] = {
        _EXPIRED: ("has expired", "renew it there"),
        _NOT_YET: ("is not valid yet", "set the clock, here or where it was made"),
        _SELF_SIGNED: ("is signed by itself alone", f"name it in {table}.ca_file if it is the right one"),
        _OTHER_HOST: ("is for another host", f"write the host in {table}.url as the certificate has it"),
    }
    faults[_OTHER_ADDRESS] = faults[_OTHER_HOST]
    unknown = (f"is not signed by any of {authorities}", f"name its authority in {table}.ca_file")
    what, remedy = faults.get(error.verify_code, unknown)
    return f"{what} ({error.verify_message})", remedy


def is_plain(error: ssl.SSLError) -> bool:
    """Say whether a handshake failed for the reason that what answers speaks no TLS."""
    return any(word in (error.reason or "") for word in _PLAIN)
