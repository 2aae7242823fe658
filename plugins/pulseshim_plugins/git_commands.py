"""The verbs for git's hook: `hook install git`, `hook remove git`, `hook show git`."""

import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import click

from pulseshim.commands.terminal import say
from pulseshim.errors import CommandFailed, StoreUnavailable
from pulseshim_plugins.git_hook import (
    HookState,
    install,
    record_baseline,
    remove,
    show,
)
from pulseshim_plugins.git_place import write_url
from pulseshim_plugins.installation import prepare_spool, read_hook

_REPOSITORY = click.argument("repository", metavar="REPO", type=click.Path(path_type=Path))
_SYSTEM_PYTHON = "/usr/bin/python3"
_LONGEST_INTERPRETER = 100  # the first line of a script was cut at 127 bytes by older kernels


def commands() -> list[click.Command]:
    """Give the group `hook`, with what git adds to it."""
    verbs = (
        click.Group("install", help="Put a hook in place beside what is there.", commands=[_install]),
        click.Group("remove", help="Take a hook out, and only it.", commands=[_remove]),
        click.Group("show", help="Tell where a hook runs, and whether it is sound.", commands=[_show]),
    )
    return [click.Group("hook", help="Install, remove and show hooks.", commands=verbs)]


def interpreter() -> str:
    """Give a Python that stays when pulseshim's environment goes: the system's, else the one below it.

    Raises `CommandFailed` where its path cannot stand in the first line of a script.
    """
    base = os.path.realpath(getattr(sys, "_base_executable", sys.executable))
    check = "import sys; sys.exit(sys.version_info < (3, 6))"
    if os.access(_SYSTEM_PYTHON, os.X_OK):
        done = subprocess.run([_SYSTEM_PYTHON, "-IS", "-c", check], capture_output=True, check=False)
        if done.returncode == 0:
            return _SYSTEM_PYTHON
    if any(letter.isspace() for letter in base) or len(base) > _LONGEST_INTERPRETER:
        raise CommandFailed(f"no script can be run by {base}", f"install a Python as {_SYSTEM_PYTHON}")
    return base


def drain_command(config: str) -> tuple[str, ...]:
    """Give the command that a hook starts after a push: `pulseshim drain` with these settings.

    Raises `CommandFailed` without a settings file: what a pusher's environment says must not count.
    """
    if not config:
        raise CommandFailed(
            "--drain needs a settings file", "name it: pulseshim --config FILE hook install …"
        )
    program = Path(sys.executable).with_name("pulseshim")
    if not program.is_file():
        raise CommandFailed(f"{program} is not there", "install pulseshim with its command line")
    return (str(program), "--config", config, "drain", "--single")


@click.command("git")
@_REPOSITORY
@click.option("--url", help="The repository's public URL, written into its git configuration.")
@click.option("--drain", is_flag=True, help="Start `pulseshim drain` after each push: no service is needed.")
@click.pass_obj
def _install(session: Any, repository: Path, url: str | None, *, drain: bool) -> None:
    """Install the post-receive hook of the git repository REPO.

    A hook that is there stays as it is and is run after ours, with the same input. With --drain, the drain
    runs as the user who pushes, who must be allowed to write the whole store.
    """
    spool = Path(session.settings.directory).absolute() / "spool"
    command = drain_command(session.settings.origin) if drain else ()
    before = show(repository)
    now = time.time_ns()
    try:
        prepare_spool(spool, session.settings.store.recorders)
        record_baseline(before.place.git_dir, spool=spool, now=now, random=os.urandom(16))
    except StoreUnavailable as error:
        say(f"warning: {error}", err=True)
    after = install(repository, spool=spool, interpreter=interpreter(), drain=command)
    say(f"{'updated' if before.is_ours else 'installed'} {after.place.path}")
    if after.previous is not None:
        say(f"the hook that was there before is run after it: {after.previous}")
        if _knows_its_name(after.previous):
            note = "that hook looks at its own name, which has changed: see that it still does its work"
            say(f"warning: {note}", err=True)
    if after.place.serves:
        say(f"this hook also serves {after.place.serves}")
    if url is not None:
        write_url(after.place.git_dir, url)
        say(f"pulseshim.url is {url}")
    if after.place.todo:
        say(f"still to do: {after.place.todo}")


@click.command("git")
@_REPOSITORY
def _remove(repository: Path) -> None:
    """Remove the post-receive hook of the git repository REPO, and put back the one from before."""
    before = remove(repository)
    say(f"removed pulseshim's hook {before.place.path}")
    if show(repository).version == "foreign":
        say("the hook that was there before is back in its place")
    elif before.previous is not None:
        say(f"warning: the hook that was there before, {before.previous}, is gone", err=True)
    if before.place.serves:
        say(f"it served {before.place.serves}, too")


@click.command("git")
@_REPOSITORY
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def _show(repository: Path, *, as_json: bool) -> None:
    """Tell how the post-receive hook of the git repository REPO stands."""
    told = _told(show(repository))
    if as_json:
        click.echo(json.dumps(told))
        return
    for name, value in told.items():
        text = shlex.join(value) if isinstance(value, list) else value
        if text not in ("", None):
            say(f"{name.replace('_', ' '):<12} {str(text).lower() if text in (True, False) else text}")


def _told(state: HookState) -> dict[str, Any]:
    return {
        "repository": str(state.place.git_dir),
        "hook": str(state.place.path),
        "layout": state.place.layout,
        "version": state.version,
        "executable": state.executable,
        "interpreter": state.interpreter,
        "spool": state.spool,
        "drain": list(state.drain),
        "previous": None if state.previous is None else str(state.previous),
        "serves": state.place.serves,
    }


def _knows_its_name(hook: Path) -> bool:
    """Say whether a hook seems to choose what it does by the name it is run under."""
    if hook.is_symlink() and hook.resolve().name not in (hook.name, "post-receive"):
        return True
    text = read_hook(hook) if hook.is_file() else b""
    return any(word in text for word in (b"basename", b"##*/", b"argv[0]"))
