"""The hook that was there before ours: it is run as if nothing had changed, and comes back as it was."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pulseshim.errors import CommandFailed
from pulseshim_plugins.git_hook import PREVIOUS, remove, show

if TYPE_CHECKING:
    from tests.plugins.conftest import GitServer

WriteHook = Callable[[Path, str], Path]

LOOK = """\
#!/bin/sh
cat > "$GIT_DIR/seen-stdin"
env | grep -v -e ^_= -e ^SHLVL= | sort > "$GIT_DIR/seen-environ"
pwd > "$GIT_DIR/seen-cwd"
echo "$#:$*" > "$GIT_DIR/seen-arguments"
echo "said on stdout"
echo "said on stderr" >&2
"""


def look(repository: Path) -> dict[str, bytes]:
    """Give what the hook `LOOK` saw."""
    return {path.name: path.read_bytes() for path in repository.glob("seen-*")}


def test_the_hook_before_sees_what_git_gave(server: "GitServer", write_hook: WriteHook) -> None:
    """Standard input, environment, arguments and directory are the same with ours as without."""
    repository = server.init("project.git", "--bare")
    write_hook(repository / "hooks" / "post-receive", LOOK)
    clone = server.clone(repository)
    server.push(clone, "HEAD:refs/heads/topic")
    without = look(repository)
    server.install(repository)
    server.push(clone, ":refs/heads/topic")

    said = server.push(clone, "HEAD:refs/heads/topic")

    assert look(repository) == without
    assert "said on stdout" in said
    assert "said on stderr" in said
    assert len(server.invocations()) == 2


def test_the_hook_before_does_not_see_what_python_changes(server: "GitServer", write_hook: WriteHook) -> None:
    """Python sets LC_CTYPE in the C locale, and ignores SIGPIPE: neither reaches the other hook."""
    repository = server.init("project.git", "--bare")
    hook = write_hook(
        repository / "hooks" / "post-receive",
        '#!/bin/sh\ncat >/dev/null; echo "LC_CTYPE=$LC_CTYPE" >&2; grep SigIgn /proc/self/status >&2\n',
    )

    def run() -> bytes:
        line = b"0 1 refs/heads/main\n"
        environ = {"GIT_DIR": "."}
        return subprocess.run(
            [hook], input=line, cwd=repository, env=environ, capture_output=True, check=True
        ).stderr

    without = run()
    server.install(repository)

    assert run() == without
    assert without.startswith(b"LC_CTYPE=\nSigIgn:")


@pytest.mark.parametrize("code", [0, 1, 3, 255])
def test_the_exit_code_is_that_of_the_hook_before(
    server: "GitServer", write_hook: WriteHook, code: int
) -> None:
    """Whoever runs the hook learns what the other one has to say."""
    repository = server.init("project.git", "--bare")
    hook = write_hook(repository / "hooks" / "post-receive", f"#!/bin/sh\nexit {code}\n")
    server.install(repository)

    done = subprocess.run([hook], input=b"0 1 refs/heads/main\n", cwd=repository, check=False)

    assert done.returncode == code
    assert len(server.invocations()) == 1


def test_the_hook_before_runs_when_nothing_can_be_recorded(
    server: "GitServer", write_hook: WriteHook
) -> None:
    """A broken spool is no reason to leave other people's work undone."""
    repository = server.init("project.git", "--bare")
    write_hook(repository / "hooks" / "post-receive", LOOK)
    clone = server.clone(repository)
    server.install(repository)
    server.spool.rename(server.spool.with_name("gone"))

    said = server.push(clone)

    assert "this push was not recorded" in said
    assert look(repository)["seen-stdin"].endswith(b" refs/heads/main\n")


def test_a_hook_that_reads_nothing_is_no_failure(server: "GitServer", write_hook: WriteHook) -> None:
    """More input than a pipe holds may go unread."""
    repository = server.init("project.git", "--bare")
    hook = write_hook(repository / "hooks" / "post-receive", "#!/bin/sh\necho done\n")
    server.install(repository)
    lines = b"0 1 refs/heads/main\n" * 50_000

    done = subprocess.run([hook], input=lines, cwd=repository, capture_output=True, check=False, timeout=60)

    assert (done.returncode, done.stdout, done.stderr) == (0, b"done\n", b"")


def test_a_hook_gets_more_input_than_a_pipe_holds(server: "GitServer", write_hook: WriteHook) -> None:
    """All of the input reaches the other hook, whatever its length."""
    repository = server.init("project.git", "--bare")
    hook = write_hook(repository / "hooks" / "post-receive", "#!/bin/sh\nsleep 0.2\nexec cat\n")
    server.install(repository)
    lines = b"0 1 refs/heads/main\n" * 50_000

    done = subprocess.run([hook], input=lines, cwd=repository, capture_output=True, check=False, timeout=60)

    assert done.stdout == lines


def test_a_hook_without_a_first_line_is_run_by_the_shell(server: "GitServer", write_hook: WriteHook) -> None:
    """Git runs such a hook by sh, and so does ours."""
    repository = server.init("project.git", "--bare")
    write_hook(repository / "hooks" / "post-receive", 'echo "no first line"\n')
    clone = server.clone(repository)
    server.install(repository)

    said = server.push(clone)

    assert "no first line" in said


def test_a_hook_that_cannot_be_run_is_named(server: "GitServer", write_hook: WriteHook) -> None:
    """A missing interpreter is said to the pusher, as git would."""
    repository = server.init("project.git", "--bare")
    write_hook(repository / "hooks" / "post-receive", "#!/does/not/exist\n")
    clone = server.clone(repository)
    server.install(repository)

    said = server.push(clone)

    assert "the hook that was here before could not be run (No such file or directory" in said
    assert len(server.invocations()) == 1


def test_a_hook_that_is_not_executable_is_not_run(server: "GitServer", write_hook: WriteHook) -> None:
    """What git did not run before is not run now."""
    repository = server.init("project.git", "--bare")
    write_hook(repository / "hooks" / "post-receive", LOOK).chmod(0o644)
    clone = server.clone(repository)
    server.install(repository)

    server.push(clone)

    assert look(repository) == {}
    assert len(server.invocations()) == 1


def test_a_hook_comes_back_as_it_was(server: "GitServer", write_hook: WriteHook) -> None:
    """Bytes, mode, times and the very file are the same after install and remove."""
    repository = server.init("project.git", "--bare")
    hook = write_hook(repository / "hooks" / "post-receive", LOOK)
    hook.chmod(0o750)
    before = hook.stat()
    server.install(repository)
    server.install(repository)

    remove(repository)

    after = hook.stat()
    assert hook.read_text() == LOOK
    assert (after.st_mode, after.st_ino, after.st_mtime_ns) == (
        before.st_mode,
        before.st_ino,
        before.st_mtime_ns,
    )
    assert os.listdir(hook.parent) == ["post-receive"]


@pytest.mark.parametrize("target", ["../shared/work", "{root}/project.git/shared/work"])
def test_a_hook_that_is_a_link_is_run_and_comes_back(
    server: "GitServer", write_hook: WriteHook, target: str
) -> None:
    """A link is kept as a link: its target is neither read, moved nor written."""
    repository = server.init("project.git", "--bare")
    work = write_hook(repository / "shared" / "work", LOOK)
    hook = repository / "hooks" / "post-receive"
    hook.parent.mkdir()
    link = target.format(root=server.root)
    hook.symlink_to(link)
    clone = server.clone(repository)

    server.install(repository)
    said = server.push(clone)
    remove(repository)

    assert "said on stdout" in said
    assert os.readlink(hook) == link
    assert work.read_text() == LOOK
    assert len(server.invocations()) == 1


def test_a_link_that_leads_nowhere_comes_back(server: "GitServer") -> None:
    """Git ignores such a hook; it is somebody's all the same."""
    repository = server.init("project.git", "--bare")
    hook = repository / "hooks" / "post-receive"
    hook.parent.mkdir()
    hook.symlink_to("/does/not/exist")
    clone = server.clone(repository)

    server.install(repository)
    server.push(clone)
    remove(repository)

    assert os.readlink(hook) == "/does/not/exist"
    assert len(server.invocations()) == 1


def test_an_installation_that_ended_half_way_is_finished(server: "GitServer", write_hook: WriteHook) -> None:
    """The old hook has its second name already, ours is not in place yet: installing again does the rest."""
    repository = server.init("project.git", "--bare")
    hook = write_hook(repository / "hooks" / "post-receive", LOOK)
    os.link(hook, hook.with_name(PREVIOUS))

    state = server.install(repository)

    assert state.previous == hook.with_name(PREVIOUS)
    assert state.previous.read_text() == LOOK


def test_a_hook_put_over_ours_is_not_lost(server: "GitServer", write_hook: WriteHook) -> None:
    """With two hooks that are not ours, a person must say which one is meant."""
    repository = server.init("project.git", "--bare")
    hook = write_hook(repository / "hooks" / "post-receive", LOOK)
    server.install(repository)
    hook.unlink()
    write_hook(hook, "#!/bin/sh\n# newer\n")

    with pytest.raises(CommandFailed, match="was put over pulseshim's hook"):
        server.install(repository)
    with pytest.raises(CommandFailed, match="is not pulseshim's hook"):
        remove(repository)

    assert hook.read_text() == "#!/bin/sh\n# newer\n"
    assert hook.with_name(PREVIOUS).read_text() == LOOK
    assert show(repository).version == "foreign"


def test_a_link_to_an_installed_hook_is_not_installed_over(
    server: "GitServer", write_hook: WriteHook
) -> None:
    """It runs already, and what was before it runs after it; without it, nobody would run that any longer."""
    repository, other = server.init("project.git", "--bare"), server.init("other.git", "--bare")
    kept = write_hook(repository / "hooks" / "post-receive", LOOK).with_name(PREVIOUS)
    server.install(repository)
    hook = other / "hooks" / "post-receive"
    hook.parent.mkdir()
    hook.symlink_to(repository / "hooks" / "post-receive")
    clone = server.clone(other)

    with pytest.raises(
        CommandFailed, match=f"leads to {repository}/hooks/post-receive, which is pulseshim's"
    ):
        server.install(other)
    shown = show(other)
    said = server.push(clone)
    remove(other)

    assert (shown.version, shown.previous) == ("current", kept)
    assert "said on stdout" in said
    assert len(server.invocations()) == 1
    assert not os.path.lexists(hook)
    assert kept.exists()
