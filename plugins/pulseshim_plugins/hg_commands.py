"""The verbs for Mercurial's hook: `hook install hg`, `hook remove hg`, `hook show hg`."""

import json
from pathlib import Path
from typing import Any

import click

from pulseshim.commands.terminal import say
from pulseshim.errors import StoreUnavailable
from pulseshim_plugins.hg_hook import HookState, install, remove, show
from pulseshim_plugins.hg_trust import user_name
from pulseshim_plugins.installation import prepare_spool

_REPOSITORY = click.argument("repository", metavar="REPO", type=click.Path(path_type=Path))


def commands() -> list[click.Command]:
    """Give the group `hook`, with what hg adds to it."""
    verbs = (
        click.Group("install", help="Put a hook in place beside what is there.", commands=[_install]),
        click.Group("remove", help="Take a hook out, and only it.", commands=[_remove]),
        click.Group("show", help="Tell where a hook runs, and whether it is sound.", commands=[_show]),
    )
    return [click.Group("hook", help="Install, remove and show hooks.", commands=verbs)]


def trust_warning(state: HookState) -> str:
    """Give what to say where Mercurial does not trust the file for everybody; empty where it does."""
    if not state.untrusted:
        return ""
    return (
        f"Mercurial does not trust {state.hgrc} when it is run by {state.untrusted}: what they push is not"
        f" recorded. In the server's own hgrc (/etc/mercurial/hgrc), write [trusted] users ="
        f" {user_name(state.hgrc.stat().st_uid)}, or put the lines of the hook there"
    )


@click.command("hg")
@_REPOSITORY
@click.option("--url", help="The repository's public URL, written into its hgrc.")
@click.pass_obj
def _install(session: Any, repository: Path, url: str | None) -> None:
    """Install the hook of the Mercurial repository REPO: lines in its hgrc, and a file beside it."""
    spool = Path(session.settings.directory).absolute() / "spool"
    before = show(repository)
    try:
        prepare_spool(spool, session.settings.store.recorders)
    except StoreUnavailable as error:
        say(f"warning: {error}", err=True)
    after = install(repository, spool=spool, url=url)
    say(f"{'installed' if before.version == 'absent' else 'updated'} the hook in {after.hgrc}")
    if url is not None:
        say(f"pulseshim.url is {url}")
    if warning := trust_warning(after):
        say(f"warning: {warning}", err=True)


@click.command("hg")
@_REPOSITORY
def _remove(repository: Path) -> None:
    """Remove the hook of the Mercurial repository REPO, and nothing else of its hgrc."""
    say(f"removed pulseshim's hook from {remove(repository).hgrc}")


@click.command("hg")
@_REPOSITORY
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def _show(repository: Path, *, as_json: bool) -> None:
    """Tell how the hook of the Mercurial repository REPO stands."""
    state = show(repository)
    told = {
        "repository": str(state.repository),
        "hgrc": str(state.hgrc),
        "version": state.version,
        "file": state.file,
        "spool": state.spool,
        "untrusted": state.untrusted,
    }
    if as_json:
        click.echo(json.dumps(told))
        return
    for name, value in told.items():
        if value:
            say(f"{name:<12} {value}")
