"""The text of git's hook file: shipped below `contrib/hooks`, filled in by installation, recognised later."""

import ast
import hashlib
import re
from dataclasses import dataclass
from typing import Any

_SIGN = b"# pulseshim's post-receive hook for git"
_DIGEST = re.compile(rb"^# digest: (.*)$", re.MULTILINE)
_CONSTANT = re.compile(rb"^(SPOOL|FEED|DRAIN|PREVIOUS) = (.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class HookFile:
    """What installation fills in: interpreter, spool, the command to start after a push, the hook before.

    `previous` is the name of the hook that was there before, beside this one; empty where there is none.
    """

    interpreter: str
    spool: bytes
    drain: tuple[bytes, ...] = ()
    previous: bytes = b""


def fill(template: bytes, hook: HookFile) -> bytes:
    """Give a hook file with its constants filled in, and a digest by which an edit shows."""
    values: dict[bytes, Any] = {
        b"SPOOL": hook.spool,
        b"DRAIN": list(hook.drain),
        b"PREVIOUS": hook.previous,
    }

    def constant(match: re.Match[bytes]) -> bytes:
        name = match[1]
        return name + b" = " + ascii(values[name]).encode() if name in values else match[0]

    _, _, rest = template.partition(b"\n")
    first = b"#!" + hook.interpreter.encode() + b" -IS\n"
    text = first + _CONSTANT.sub(constant, rest)
    return _DIGEST.sub(b"# digest: " + _digest(text), text, count=1)


def is_ours(text: bytes) -> bool:
    """Say whether a hook is pulseshim's, of whatever version."""
    return _SIGN in text


def is_edited(text: bytes) -> bool:
    """Say whether a hook of ours differs from what installation wrote, whichever version that was."""
    match = _DIGEST.search(text)
    return match is None or match[1] != _digest(text)


def parse(text: bytes) -> HookFile:
    """Give what was filled in into a hook of ours; what cannot be read, since it was edited, is empty.

    Nothing in it has a null byte, and `previous` is no path.
    """
    values: dict[bytes, Any] = {}
    for match in _CONSTANT.finditer(text):
        try:
            values[match[1]] = ast.literal_eval(match[2].decode())
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            continue
    first, _, _ = text.partition(b"\n")
    interpreter, drain = first.removeprefix(b"#!").partition(b" ")[0], values.get(b"DRAIN")
    words = [_plain(word) for word in drain] if isinstance(drain, list) else []
    previous = _plain(values.get(b"PREVIOUS"))
    return HookFile(
        interpreter=_plain(interpreter).decode("utf-8", "replace"),
        spool=_plain(values.get(b"SPOOL")),
        drain=tuple(words) if all(words) else (),
        previous=b"" if b"/" in previous or previous in (b".", b"..") else previous,
    )


def _plain(value: object) -> bytes:
    """Give bytes that could be a path or a word, for all else none."""
    return value if isinstance(value, bytes) and b"\0" not in value else b""


def _digest(text: bytes) -> bytes:
    """Give the SHA-256 of a hook file but for the line that holds it."""
    return hashlib.sha256(_DIGEST.sub(b"", text, count=1)).hexdigest().encode()
