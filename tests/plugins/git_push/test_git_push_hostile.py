"""Repositories whose owner means harm: reading them runs nothing and fetches nothing."""

import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pulseshim_plugins.git_repository import GitFailed, GitTimedOut, Repository

if TYPE_CHECKING:
    from pathlib import Path

    from tests.plugins.git_push.conftest import Pushes


def test_nothing_that_a_repository_configures_is_run(pushes: "Pushes", tmp_path: "Path") -> None:
    """No monitor, verifier, differ, converter, hook, helper or transport of the repository is started."""
    trap = tmp_path / "trap"
    trap.write_text(f"#!/bin/sh\necho $0 $* >> {tmp_path}/sprung\ncat\n")
    trap.chmod(0o755)
    pushes.commit(a="1", b="1")
    pushes.commit(a="2")
    signature = b"gpgsig -----BEGIN PGP SIGNATURE-----\n \n abc\n -----END PGP SIGNATURE-----\n"
    person = b"A <a@b> 1 +0000"
    parent = pushes.git("rev-parse", "HEAD").encode()
    head = b"parent %s\nauthor %s\ncommitter %s\n" % (parent, person, person)
    signed = pushes.commit_object(head + signature + b"\nSigned\n")
    recorded = pushes.push(f"{signed}:refs/heads/main")
    settings = (
        *("core.fsmonitor", "core.sshCommand", "core.askPass", "core.pager", "core.editor", "diff.external"),
        *("gpg.program", "gpg.ssh.program", "gpg.x509.program", "diff.trap.textconv", "diff.trap.command"),
        *("filter.trap.clean", "filter.trap.smudge", "filter.trap.process", "credential.helper", "pager.log"),
        *(
            "core.alternateRefsCommand",
            "alias.log",
            "alias.rev-list",
            "remote.evil.uploadpack",
            "core.gitProxy",
        ),
    )
    for name in settings:
        pushes.git("config", name, f"!{trap}" if name.startswith("alias.") else str(trap), cwd=pushes.bare)
    for name, value in {
        "log.showSignature": "true",
        "core.hooksPath": str(tmp_path),
        "remote.evil.url": str(pushes.work),
        "remote.evil.promisor": "true",
        "extensions.partialClone": "evil",
        "core.repositoryFormatVersion": "1",
        "protocol.file.allow": "always",
        "protocol.ext.allow": "always",
        "include.path": str(tmp_path / "included"),
    }.items():
        pushes.git("config", name, value, cwd=pushes.bare)
    (tmp_path / "included").write_text('[pulseshim]\n\turl = "https://elsewhere.example.org/x"\n')
    (pushes.bare / "info").mkdir(exist_ok=True)
    (pushes.bare / "info" / "attributes").write_text("* diff=trap filter=trap\n")

    (payload,) = pushes.read(recorded)

    assert payload["repo_url"] == "https://git.example.org/group/project"
    assert payload["updates"][0]["commit_count"] == 3
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("transport", ["file", "ext"])
def test_missing_objects_of_a_promisor_are_not_fetched(
    pushes: "Pushes", tmp_path: "Path", transport: str
) -> None:
    """A partial repository gets nothing from its remote: what is missing is gone."""
    trap = tmp_path / "trap"
    trap.write_text(f'#!/bin/sh\ntouch {tmp_path}/sprung\nexec git-upload-pack "$@"\n')
    trap.chmod(0o755)
    one = pushes.commit("One")
    recorded = pushes.push("main")
    (pushes.bare / "objects" / one[:2] / one[2:]).unlink()
    url = str(pushes.work) if transport == "file" else f"ext::{trap} %S {pushes.work}"
    for name, value in {
        "remote.evil.url": url,
        "remote.evil.uploadpack": str(trap),
        "remote.evil.promisor": "true",
        "remote.evil.partialCloneFilter": "blob:none",
        "extensions.partialClone": "evil",
        "core.repositoryFormatVersion": "1",
        f"protocol.{transport}.allow": "always",
    }.items():
        pushes.git("config", "--file", str(pushes.bare / "config"), name, value, cwd=pushes.root)

    (payload,) = pushes.read(recorded)

    assert not (tmp_path / "sprung").exists()
    assert payload["updates"][0]["object"] is None
    assert payload["updates"][0]["truncated"] is True


def test_the_environment_of_the_runtime_does_not_reach_git(
    pushes: "Pushes", monkeypatch: pytest.MonkeyPatch
) -> None:
    """A runtime started within a hook has variables of git that belong to another repository."""
    pushes.commit("One")
    recorded = pushes.push("main")
    for name, value in {
        "GIT_DIR": "/nonexistent",
        "GIT_OBJECT_DIRECTORY": "/nonexistent",
        "GIT_NAMESPACE": "other",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "log.showRoot",
        "GIT_CONFIG_VALUE_0": "broken",
        "GIT_TRACE": "1",
    }.items():
        monkeypatch.setenv(name, value)

    (payload,) = pushes.read(recorded)

    assert payload["updates"][0]["commit_count"] == 1


def test_a_repository_of_somebody_else_is_read(pushes: "Pushes") -> None:
    """Users push as themselves: whose a repository is does not keep it from being read."""
    pushes.commit("One")
    recorded = pushes.push("main")
    _give_away(pushes.bare)

    (payload,) = pushes.read(recorded)

    assert payload["updates"][0]["commit_count"] == 1


def test_what_git_says_by_the_megabyte_does_not_block(pushes: "Pushes") -> None:
    """Standard error is read while git runs, and only its end is kept."""
    repository = Repository(str(pushes.bare), time.monotonic() + 60)

    with pytest.raises(GitFailed) as raised:
        list(repository.lines(("cat-file", "-e", "x" * 100_000)))

    assert len(str(raised.value)) < 200_000


def test_what_is_left_before_its_end_is_never_too_late(pushes: "Pushes") -> None:
    """Who has all that was wanted does not hear of a deadline that passed behind it."""
    head = pushes.commit("One")
    pushes.push("main")
    lines = Repository(str(pushes.bare), time.monotonic() + 4).lines(("rev-list", "--all"))

    first = next(lines)
    time.sleep(4.2)
    lines.close()  # type: ignore[attr-defined]  # it is a generator

    assert first.decode() == head


def _give_away(directory: "Path") -> None:
    for path in (directory, *directory.rglob("*")):
        os.chown(path, 12345, 12345)


@pytest.mark.parametrize("name", ["config", "HEAD", "packed-refs"])
def test_a_pipe_in_place_of_a_file_is_waited_for_no_longer_than_set(pushes: "Pushes", name: str) -> None:
    """Whoever makes git wait gets their own push parked, and holds nobody else's up for ever."""
    pushes.options["timeout"] = "500ms"
    pushes.commit("One")
    recorded = pushes.push("main")
    (pushes.bare / name).unlink(missing_ok=True)
    os.mkfifo(pushes.bare / name)

    with pytest.raises(GitTimedOut):
        pushes.read(recorded)


def test_the_directory_that_a_worktree_names_is_not_followed(pushes: "Pushes", tmp_path: "Path") -> None:
    """A file `commondir` could lead to a repository that its owner may not read."""
    pushes.commit("Secret")
    pushes.push("main")
    decoy = tmp_path / "decoy.git"
    pushes.git("init", "-q", "--bare", str(decoy))
    (decoy / "commondir").write_text(f"{pushes.bare}\n")
    tip = pushes.git("rev-parse", "main")
    stdin = f"{pushes.zero} {tip} refs/heads/main\n".encode()

    (payload,) = pushes.read(replace(pushes.recorded(stdin), cwd=str(decoy)))

    assert payload["updates"][0]["commits"] == []
    assert payload["updates"][0]["object"] is None
