"""Many changesets in one transaction: put straight into the changelog of a repository, for speed."""

from collections.abc import Callable
from pathlib import Path

EXTENSION = """\
from mercurial import metadata, phases, registrar
cmdtable = {}
command = registrar.command(cmdtable)

@command(b"fill", [], b"COUNT FILES")
def fill(ui, repo, count, files):
    changelog, changed = repo.changelog, metadata.ChangingFiles()
    for n in range(int(files)):
        changed.mark_removed(b"%d" % n + b"/directory" * 400)
    with repo.lock(), repo.transaction(b"fill") as tr:
        node = repo.nullid
        changelog.delayupdate(tr)
        with changelog._writing(tr):
            for n in range(int(count)):
                who, date = b"Ada", b"%d 0" % n
                other = changelog.node(0) if n % 100 == 99 and int(files) else repo.nullid
                node = changelog.add(repo.nullid, changed, b"text", tr, node, other, who, date)
        phases.registernew(repo, tr, phases.draft, range(int(count)))
"""


def fill(hg: Callable[..., object], script: Path, count: int, files: int = 0) -> None:
    """Put that many changesets into a repository: `hg` runs Mercurial in it, `script` will hold the code.

    Each removes so many files, and if there are any, every hundredth is a merge.
    """
    script.write_text(EXTENSION)
    hg("--config", f"extensions.fill={script}", "fill", str(count), str(files))
