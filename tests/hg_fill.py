"""Many changesets in one transaction: put straight into the changelog of a repository, for speed."""

from collections.abc import Callable
from pathlib import Path

EXTENSION = """\
from mercurial import metadata, phases, registrar
cmdtable = {}
command = registrar.command(cmdtable)

@command(b"fill", [], b"COUNT")
def fill(ui, repo, count):
    changelog, nothing = repo.changelog, metadata.ChangingFiles()
    with repo.lock(), repo.transaction(b"fill") as tr:
        node = repo.nullid
        changelog.delayupdate(tr)
        with changelog._writing(tr):
            for n in range(int(count)):
                who, date = b"Ada", b"%d 0" % n
                node = changelog.add(repo.nullid, nothing, b"text", tr, node, repo.nullid, who, date)
        phases.registernew(repo, tr, phases.draft, range(int(count)))
"""


def fill(hg: Callable[..., object], script: Path, count: int) -> None:
    """Put that many changesets into a repository: `hg` runs Mercurial in it, `script` will hold the code."""
    script.write_text(EXTENSION)
    hg("--config", f"extensions.fill={script}", "fill", str(count))
