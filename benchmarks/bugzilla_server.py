"""The stand-in for a Bugzilla in a process of its own: prints its URL, and ends when its input does."""

import sys

from tests.bugzilla_server import BugzillaServer

_AGO = 86_400


def bugs(count: int) -> BugzillaServer:
    """Give a server with bugs that were filed a day ago and changed an hour ago, ten in a second."""
    server = BugzillaServer()
    server.file(count=count)
    server.pass_time(_AGO)
    for number in range(1, count + 1):
        server.change(number)
        if number % 10 == 0:
            server.pass_time()
    server.pass_time(3600)
    return server


if __name__ == "__main__":
    running = bugs(int(sys.argv[1]))
    print(running.url, flush=True)
    sys.stdin.read()
