"""`pulseshim`: finds the command, runs it, and turns what goes wrong into a sentence and an exit code."""

import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version

import click

from pulseshim.commands import emit
from pulseshim.commands.session import Session, equip
from pulseshim.commands.terminal import say
from pulseshim.errors import PulseshimError
from pulseshim.plugin_manager import PluginManager, installed

# Verb → (module, one line for the list). A module is imported when its verb is called.
VERBS = {
    "check": ("check", "Look for everything that is wrong: each problem with its remedy."),
    "declare": ("declare", "Declare the exchanges of all feeds."),
    "demo": ("demo", "Show what it looks like: real pushes, real hooks, an embedded broker."),
    "drain": ("drain", "Read and publish what is there, then exit."),
    "emit": ("emit", "Record one invocation (what a hook calls)."),
    "parked": ("parked", "Show, retry or discard what needs a person."),
    "plugins": ("plugins", "Show each plugin: its feeds, or why it cannot be loaded."),
    "poll": ("poll", "Poll now, once, then publish what is there."),
    "provision": ("provision", "Make virtual host, users, passwords and permissions at the broker."),
    "replay": ("replay", "Publish confirmed messages again, with the same ids."),
    "run": ("run", "Be the service: read, poll, listen and publish until SIGTERM."),
    "status": ("status", "Show what waits, since when, and how each part is."),
    "tail": ("tail", "Print messages as they come."),
}


_EXIT_CODES = "0 done, 1 failed, 2 usage or settings, 3 broker not reached, 4 something is parked"


class Verbs(click.Group):
    """The verbs of the core, and the commands that plugins add."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Give the names of all commands."""
        return sorted({*VERBS, *_plugin_commands(ctx)})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Give a command by its name."""
        if cmd_name == "emit":
            return _emit()
        if cmd_name in VERBS:
            module = import_module(f"pulseshim.commands.{VERBS[cmd_name][0]}")
            command: click.Command = module.command
            return equip(command)
        return _plugin_commands(ctx).get(cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing those of the core."""
        rows = [(name, line) for name, (_, line) in VERBS.items()]
        rows += [(name, found.get_short_help_str(80)) for name, found in _plugin_commands(ctx).items()]
        with formatter.section("Verbs"):
            formatter.write_dl(sorted(rows))


def _emit() -> click.Command:
    """Give `emit` as it is called behind options of `pulseshim` itself: it reads its words without click."""

    @click.command("emit", add_help_option=False, context_settings={"ignore_unknown_options": True})
    @click.argument("words", nargs=-1, type=click.UNPROCESSED)
    @click.pass_obj
    def command(session: Session, words: tuple[str, ...]) -> int:
        return emit.main([*(["--config", session.config] if session.config else []), *words])

    return command


def _plugin_commands(context: click.Context) -> dict[str, click.Command]:
    """Give the commands of all installed plugins; groups of one name become one group."""
    cache = context.find_root().meta
    key = "pulseshim.plugin_commands"
    if key not in cache:
        plugins = PluginManager()
        plugins.load(installed())
        root = click.Group()
        for command in plugins.commands():
            _merge(root, command)
        cache[key] = {name: equip(command) for name, command in root.commands.items()}
    found: dict[str, click.Command] = cache[key]
    return found


def _merge(group: click.Group, command: click.Command) -> None:
    """Add a command to a group, or its subcommands to the group of that name which is there already."""
    there = group.commands.get(command.name or "")
    if isinstance(there, click.Group) and isinstance(command, click.Group):
        for child in command.commands.values():
            _merge(there, child)
    else:
        group.add_command(command)


def cli() -> click.Group:
    """Give the root command."""
    root = Verbs(
        "pulseshim",
        help="Announce what happens in version control, bug tracker and CI on a RabbitMQ topic exchange.",
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
        epilog=f"Exit codes: {_EXIT_CODES}.",
    )
    plain = equip(click.Command("pulseshim"))
    root.params += [*plain.params, *click.version_option(version("pulseshim"))(lambda: None).__click_params__]  # type: ignore[attr-defined] # where click keeps the options of a decorator
    return root


def run(arguments: Sequence[str]) -> int:
    """Run a command line and give its exit code."""
    session = Session()
    try:
        code = cli().main(list(arguments), "pulseshim", standalone_mode=False, obj=session)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except PulseshimError as error:
        return _say(error.problem, error.remedy, session, error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        return 130
    except BrokenPipeError:
        # Whoever read our output has gone; what is left of it must not be flushed into the void again.
        sys.stdout = sys.stderr
        return 1
    except Exception as error:  # noqa: BLE001 - nobody shall see a traceback who did not ask for one
        remedy = "this is a defect of pulseshim: report it with what --debug prints"
        return _say(f"{type(error).__name__}: {error}", remedy, session, 1)
    return code if isinstance(code, int) else 0


def _say(problem: str, remedy: str, session: Session, code: int) -> int:
    if session.debug:
        traceback.print_exc()
    text = f"pulseshim: {problem}" + (f"\n  {remedy}" if remedy else "")
    say(*text.split("\n"), err=True)
    return code
