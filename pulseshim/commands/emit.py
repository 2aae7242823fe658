"""`pulseshim emit`: record one invocation, at the cost of little more than a bare interpreter.

Programs run it inside other people's work. So it finds the spool by itself instead of through
`pulseshim.settings`, with which a test holds it together, and imports nothing that costs.
"""

import os
import time

from pulseshim.recorder import prepare, record
from pulseshim.settings_file import ForeignFile, find_file

HELP = """\
Usage: pulseshim emit [OPTIONS] FEED [ARG…]

  Record one invocation for FEED: the arguments, and standard input where it
  is not a terminal. `pulseshim run` (or `drain`) reads it and publishes what
  comes of it. Nothing is sent from here.

  Whatever fails is said on standard error in one line, and the exit code is
  0 all the same, so that what calls this goes on. After `--` and FEED every
  word is an argument, whatever it looks like.

Options:
  --env NAME     Record this variable of the environment, too; may be repeated.
                 USER, LOGNAME and REMOTE_USER always are.
  --config FILE  The settings file.  [default: $PULSESHIM_CONFIG,
                 ./pulseshim.toml, /etc/pulseshim/pulseshim.toml]
  --strict       Exit 1 where nothing could be recorded, 2 for a wrong command.
  --json         Print the id of the invocation, as a JSON object.
  --help         Show this and exit.

Example:
  git log -1 | pulseshim emit --env CI_JOB -- reviews opened "$@"
"""

_ALWAYS = ("USER", "LOGNAME", "REMOTE_USER")


class _WrongCommand(Exception):
    """The command line cannot be understood."""


class _NotRecorded(Exception):
    """Nothing can be recorded: why, and with which file."""


class _Options:
    """What the command line says."""

    def __init__(self) -> None:
        self.config = ""
        self.names = list(_ALWAYS)
        self.strict = False
        self.json = False
        self.help = False
        self.words: list[str] = []


def main(argv: list[str]) -> int:
    """Record what the words after `emit` say; give the exit code."""
    options = _Options()
    try:
        _parse(argv, options)
        if options.help:
            _write(1, HELP)
            return 0
        identity = _record(options)
    except _WrongCommand as error:
        _write(2, f"pulseshim emit: {error}: see `pulseshim emit --help`\n")
        return 2 if options.strict else 0
    except KeyboardInterrupt:
        return 130
    except Exception as error:  # noqa: BLE001 - what calls this must go on
        reason = str(error) if isinstance(error, _NotRecorded) else repr(error)
        _write(2, f"pulseshim emit: nothing was recorded ({reason}): find out more with `pulseshim check`\n")
        return 1 if options.strict else 0
    if options.json:
        _write(1, f'{{"id": "{identity}"}}\n')
    return 0


def find_directory(config: str, environ: "os._Environ[str] | dict[str, str]") -> str:
    """Give the directory of the store as `pulseshim.settings` would; the file is read if it is needed."""
    directory = _setting("directory", "", config, environ)
    if not isinstance(directory, str):
        raise _wrong("directory", config, environ)
    if not directory:
        state = environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
        directory = os.path.join(state, "pulseshim")
    return directory


def find_recorders(config: str, environ: "os._Environ[str] | dict[str, str]") -> str:
    """Give who may record in the store. Only who prepares a spool has to know."""
    recorders = _setting("recorders", "everyone", config, environ)
    if recorders not in ("owner", "group", "everyone"):
        raise _wrong("recorders", config, environ)
    return str(recorders)


def _setting(name: str, default: str, config: str, environ: "os._Environ[str] | dict[str, str]") -> object:
    table = _store_of_environment(environ)
    path = _file(config, environ)
    if path and name not in table:
        table = _store_of_file(path)
    return table.get(name, default)


def _file(config: str, environ: "os._Environ[str] | dict[str, str]") -> str:
    try:
        return find_file(config, environ) or ""
    except ForeignFile as error:
        raise _NotRecorded(": ".join(error.args)) from error


def _wrong(name: str, config: str, environ: "os._Environ[str] | dict[str, str]") -> _NotRecorded:
    return _NotRecorded(f"store.{name} is wrong: {_file(config, environ) or 'environment'}")


def _store_of_environment(environ: "os._Environ[str] | dict[str, str]") -> dict[str, object]:
    names = {"STORE__DIRECTORY": "directory", "STORE__RECORDERS": "recorders"}
    shorn = {
        name: name.removeprefix("PULSESHIM_").upper() for name in environ if name.startswith("PULSESHIM_")
    }
    return {names[shorn[name]]: environ[name] for name in sorted(shorn) if shorn[name] in names}


def _store_of_file(path: str) -> dict[str, object]:
    import tomllib  # noqa: PLC0415 - it costs more than all the rest

    try:
        with open(path, "rb") as file:
            table = tomllib.load(file).get("store", {})
    except OSError as error:
        raise _NotRecorded(f"{error.strerror}: {path}") from error
    except ValueError as error:
        raise _NotRecorded(f"not valid TOML, {error}: {path}") from error
    if not isinstance(table, dict):
        raise _NotRecorded(f"store is no table: {path}")
    return table


def _parse(words: list[str], options: _Options) -> None:
    """Read options wherever they stand; after FEED, an unknown one is an argument that is not to be lost."""
    rest = iter(words)
    for word in rest:
        name, equals, value = word.partition("=")
        if word == "--":
            options.words += rest
        elif word in ("--strict", "--json", "--help"):
            setattr(options, word[2:], True)
        elif name in ("--config", "--env"):
            text = value if equals else next(rest, "")
            if not text:
                raise _WrongCommand(f"{name} needs a value")
            if name == "--config":
                options.config = text
            else:
                options.names.append(text)
        elif word.startswith("-") and not options.words:
            raise _WrongCommand(f"there is no option {word}")
        else:
            options.words.append(word)
    if not options.help and not (options.words and _is_feed(options.words[0])):
        raise _WrongCommand(
            f"{options.words[0]!r} is no name of a feed" if options.words else "FEED is missing"
        )


def _is_feed(name: str) -> bool:
    """Say whether a name can be a feed's: a plugin's name, or `<plugin>.<server>`."""
    plugin, dot, server = name.partition(".")
    parts = [plugin, server] if dot else [plugin]
    plain = all(part.isascii() and part.replace("-", "_").replace("_", "a").isalnum() for part in parts)
    return plain and plugin[0].isalpha() and plugin == plugin.lower()


def _record(options: _Options) -> str:
    directory = find_directory(options.config, os.environ)
    spool = os.fsencode(os.path.join(os.path.abspath(directory), "spool"))
    feed, *arguments = [os.fsencode(word) for word in options.words]
    names = [os.fsencode(name) for name in dict.fromkeys(options.names)]
    environ = [(name, os.environb[name]) for name in names if name in os.environb]
    now = time.time_ns()
    try:
        stdin, cwd = _read_stdin(), os.getcwdb()
        if not (os.path.isdir(spool + b"/tmp") and os.path.isdir(spool + b"/new")):
            prepare(spool, find_recorders(options.config, os.environ))
        # It carries no annotations, since hooks carry a copy of it.
        identity: str = record(spool, feed, arguments, environ, stdin, cwd, now, os.urandom(16))  # type: ignore[no-untyped-call]
    except OSError as error:
        place = error.filename or spool
        raise _NotRecorded(
            f"{error.strerror}: {os.fsdecode(place) if isinstance(place, bytes) else place}"
        ) from error
    return identity


def _read_stdin() -> bytes:
    """Give all of standard input; nothing where it is a terminal, or closed."""
    try:
        os.fstat(0)
    except OSError:
        return b""
    return b"" if os.isatty(0) else b"".join(iter(lambda: os.read(0, 1 << 20), b""))


def _write(file: int, text: str) -> None:
    """Write to a stream that nobody may be reading any more."""
    try:
        os.write(file, os.fsencode(text))
    except OSError:
        return
