"""Describing a push of many commits, against `git log -z --raw -M` and GitPython, commit by commit."""

import subprocess
import sys
import tempfile
from pathlib import Path

from git import NULL_TREE, Commit, Repo

from benchmarks.measure import Row, git_environ, in_turn, quantity_row, ratio_row, run, seconds_of

_ROUNDS = 5
_COMMITS = 25_000
_MANY = 100_000
_FEW = 300
_MEBIBYTES = 200
_DEFAULT = 1024 * 1024
_UNCUT = 1 << 30


def history(repository: Path, commits: int) -> None:
    """Make a bare repository whose branch `main` has this many commits, each changing two files."""
    run(["git", "init", "-q", "--bare", str(repository)], repository.parent, environ=git_environ())
    stream = bytearray()
    for n in range(commits):
        who = b"Benchmark <bench@example.org> %d +0100" % (1_700_000_000 + n)
        text = b"Change number %d\n\nIt says why in a line of usual length, and in one more.\n" % n
        stream += b"commit refs/heads/main\nmark :%d\nauthor %s\ncommitter %s\n" % (n + 1, who, who)
        stream += b"data %d\n%s\n" % (len(text), text)
        for path in (b"src/module_%d.py" % (n % 500), b"docs/page_%d.md" % (n % 100)):
            content = b"%d\n" % n
            stream += b"M 100644 inline %s\ndata %d\n%s\n" % (path, len(content), content)
    run(["git", "fast-import", "--quiet"], repository, bytes(stream), git_environ())


def ours(repository: Path, max_bytes: int) -> tuple[float, float]:
    """Give the seconds and the peak memory in MiB of a process that describes the push of all commits."""
    command = [sys.executable, "-m", "benchmarks.describe_push", str(repository), str(max_bytes)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    taken, mebibytes = done.stdout.split()
    return float(taken), float(mebibytes)


def one_by_one(repository: Path) -> float:
    """Give the seconds GitPython takes for a commit: who, when, why, and its difference from its parent."""
    with Repo(repository) as repo:
        commits = repo.iter_commits("main", max_count=_FEW)
        return seconds_of(lambda: [_described(commit) for commit in commits]) / _FEW


def _described(commit: Commit) -> object:
    parent = commit.parents[0] if commit.parents else NULL_TREE
    files = [(change.change_type, change.b_path, change.a_path) for change in commit.diff(parent, R=True)]
    return commit.hexsha, commit.author.name, commit.authored_date, commit.message, files


def measure() -> list[Row]:
    """Give the rows of describing."""
    with tempfile.TemporaryDirectory() as directory:
        repository, large = Path(directory) / "project.git", Path(directory) / "large.git"
        history(repository, _COMMITS)
        history(large, _MANY)
        log = ["git", "log", "-z", "--raw", "-M", "main"]
        cut, uncut, theirs, single = in_turn(
            _ROUNDS,
            lambda: 1 / ours(repository, _DEFAULT)[0],
            lambda: 1 / ours(repository, _UNCUT)[0],
            lambda: 1 / seconds_of(lambda: run(log, repository, environ=git_environ())),
            lambda: 1 / (one_by_one(repository) * _COMMITS),
        )
        memory = ours(large, _DEFAULT)[1]
    what = f"describing {_COMMITS:,} commits"
    return [
        ratio_row(f"{what}, at most 1 MiB / git log -z --raw -M", cut, theirs, "at least", 0.5),
        ratio_row(f"{what}, all of them / git log -z --raw -M", uncut, theirs, "at least", 0.5),
        ratio_row(f"{what}, all of them / GitPython, one by one", uncut, single, "at least", 1),
        quantity_row("describing, commits a second, all of them", [rate * _COMMITS for rate in uncut]),
        Row(
            f"memory, describing {_MANY:,} commits", f"under {_MEBIBYTES} MiB", f"{memory:.0f} MiB", "",
            memory < _MEBIBYTES,
        ),
    ]  # fmt: skip
