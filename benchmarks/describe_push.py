"""`python -m benchmarks.describe_push REPOSITORY MAX_BYTES`: describes the push that made `main`, once.

Prints the seconds that took, from the invocation to the sealed envelopes, and the peak memory in MiB.
"""

import resource
import subprocess
import sys
import time
from datetime import UTC, datetime

from pulseshim import Exchange, Invocation
from pulseshim.envelope import seal
from pulseshim.testing import MemoryState
from pulseshim_plugins.git_options import GitOptions
from pulseshim_plugins.git_push import read_push
from pulseshim_shims.git import GitPushMessage, push_messages

EXCHANGE = Exchange("exchange/gitpushes/v1", "Pushes", "Pushes.", (GitPushMessage,))


def main(repository: str, max_bytes: int) -> None:
    """Describe and print."""
    new = subprocess.run(
        ["git", "rev-parse", "main"], cwd=repository, check=True, capture_output=True, text=True
    ).stdout.strip()
    invocation = Invocation(
        id="0", feed="git", environ={}, cwd=repository, recorded_at=datetime.now(UTC),
        stdin=f"{'0' * 40} {new} refs/heads/main\n".encode(),
    )  # fmt: skip
    options = GitOptions(repositories={repository: "https://git.example.org/project"}, max_bytes=max_bytes)
    # As at the service's second push: the repository is known, and nothing was announced.
    state = MemoryState(
        {f"repository:{repository}": {"push_id": "0", "url": "https://git.example.org/project"}}
    )
    begin = time.perf_counter()
    for push in read_push(invocation, state, options):
        for message in push_messages(push, max_bytes=max_bytes):
            seal(message, EXCHANGE, sequence=1, sent=0)
    taken = time.perf_counter() - begin
    print(taken, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
