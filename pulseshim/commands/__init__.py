"""The command line: `pulseshim VERB …`. One module a verb, or a few that belong together."""

import sys


def main() -> None:
    """Run the command line and exit with its code.

    `emit` stands in the path of other people's pushes, so it is not kept waiting for the imports of the rest.
    """
    arguments = sys.argv[1:]
    if arguments[:1] == ["emit"]:
        from pulseshim.commands import emit  # noqa: PLC0415 - the reason stands above

        raise SystemExit(emit.main(arguments[1:]))
    from pulseshim.commands.root import run  # noqa: PLC0415 - likewise

    raise SystemExit(run(arguments))
