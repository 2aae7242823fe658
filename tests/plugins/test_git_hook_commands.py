"""The verbs `hook install git`, `hook remove git` and `hook show git`."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result

from pulseshim.commands.session import Session
from pulseshim.errors import CommandFailed
from pulseshim_plugins.git_commands import commands, drain_command, interpreter

if TYPE_CHECKING:
    from tests.plugins.conftest import GitServer

ESCAPE = "\x1b]0;\x07\x1b[2J"


@pytest.fixture
def config(server: "GitServer", tmp_path: Path) -> Path:
    """Give a settings file that has the server's spool."""
    path = tmp_path / "pulseshim.toml"
    path.write_text(f'[store]\ndirectory = "{server.spool.parent}"\n')
    return path


def hook(config: Path, *words: str | Path) -> Result:
    """Run a verb of the group `hook`."""
    session = Session()
    session.config = str(config)
    [group] = commands()
    return CliRunner().invoke(group, [str(word) for word in words], obj=session)


def test_install_says_what_it_did(server: "GitServer", config: Path) -> None:
    """The baseline is recorded first, then the hook is there, and the URL."""
    repository = server.init("project.git", "--bare")
    (repository / "hooks").mkdir()
    before = repository / "hooks" / "post-receive"
    before.write_text('#!/bin/sh\nexec hooks/by-name/$(basename "$0")\n')

    done = hook(config, "install", "git", repository, "--url", "https://git.example.org/project")

    assert done.exit_code == 0
    assert f"installed {repository}/hooks/post-receive\n" in done.output
    assert f"run after it: {repository}/hooks/post-receive-before-pulseshim\n" in done.output
    assert "that hook looks at its own name" in done.output
    assert "pulseshim.url is https://git.example.org/project\n" in done.output
    assert [invocation.arguments for invocation in server.invocations()] == [("baseline",)]


def test_install_goes_on_where_no_baseline_can_be_recorded(server: "GitServer", config: Path) -> None:
    """A spool that is no directory is warned about; the hook is installed."""
    repository = server.init("project.git", "--bare")
    server.spool.rename(server.spool.with_name("elsewhere"))
    server.spool.write_text("")

    done = hook(config, "install", "git", repository)

    assert done.exit_code == 0
    assert done.output.startswith("warning: the spool cannot be made")
    assert (repository / "hooks" / "post-receive").exists()


def test_install_makes_the_spool_of_a_fresh_machine(server: "GitServer", config: Path) -> None:
    """Before the first `run` there is no spool yet: pushes until then are kept, too."""
    repository = server.init("project.git", "--bare")
    server.spool.rename(server.spool.with_name("elsewhere"))

    hook(config, "install", "git", repository)

    assert [invocation.arguments for invocation in server.invocations()] == [("baseline",)]


def test_the_hook_starts_a_drain_with_these_settings(server: "GitServer", config: Path) -> None:
    """The command is the pulseshim that installs, with the settings it was given."""
    repository = server.init("project.git", "--bare")

    hook(config, "install", "git", repository, "--drain")

    shown = json.loads(hook(config, "show", "git", repository, "--json").output)
    program = str(Path(sys.executable).with_name("pulseshim"))
    assert shown["drain"] == [program, "--config", str(config), "drain", "--single"]


def test_a_drain_without_a_settings_file_is_refused() -> None:
    """What stands in a pusher's environment must not decide where an event goes."""
    with pytest.raises(CommandFailed, match="--drain needs a settings file"):
        drain_command("")


def test_show_tells_people_and_programs_the_same(server: "GitServer", config: Path) -> None:
    """What is empty is left out for people."""
    repository = server.init("project.git", "--bare")
    hook(config, "install", "git", repository)

    text = hook(config, "show", "git", repository).output
    told = json.loads(hook(config, "show", "git", repository, "--json").output)

    assert told["version"] == "current"
    assert told["previous"] is None
    assert f"spool        {server.spool}\n" in text
    assert "executable   true\n" in text
    assert "drain" not in text


def test_what_a_repository_says_is_shown_without_escapes(server: "GitServer", config: Path) -> None:
    """A hook that its owner wrote, and the directory that the configuration names, may have any name."""
    repository = server.init("project.git", "--bare")
    hooks = server.root / f"hooks{ESCAPE}"
    hooks.mkdir()
    server.git("config", "core.hooksPath", str(hooks), cwd=repository)
    (hooks / "post-receive").write_text("#!/bin/sh\n")
    installed = hook(config, "install", "git", repository)
    path = hooks / "post-receive"
    escape = repr(ESCAPE.encode())[2:-1].encode()
    text = path.read_bytes().replace(b"DRAIN = []", b"DRAIN = [b'" + escape + b"']")
    path.write_bytes(text.replace(b"-before-pulseshim'", escape + b"'").replace(b"/spool'", escape + b"'"))

    shown = hook(config, "show", "git", repository)

    assert "this hook also serves" in installed.output
    assert len(shown.output.splitlines()) == 10
    for done in (installed, shown):
        assert done.output.replace("\n", "").isprintable()
    for name in ("hook", "spool", "drain", "previous", "serves"):
        (line,) = (line for line in shown.output.splitlines() if line.startswith(f"{name:<12} "))
        assert r"\x1b]0;" in line


def test_show_tells_that_nothing_is_there(server: "GitServer", config: Path) -> None:
    """Where the hook would go can be asked before it is there."""
    repository = server.init("project.git", "--bare")

    told = json.loads(hook(config, "show", "git", repository, "--json").output)

    assert (told["hook"], told["version"]) == (f"{repository}/hooks/post-receive", "absent")


def test_remove_says_what_it_did(server: "GitServer", config: Path) -> None:
    """The hook from before is back."""
    repository = server.init("project.git", "--bare")
    (repository / "hooks").mkdir()
    (repository / "hooks" / "post-receive").write_text("#!/bin/sh\n")
    hook(config, "install", "git", repository)

    done = hook(config, "remove", "git", repository)

    assert done.exit_code == 0
    assert "the hook that was there before is back in its place" in done.output
    assert (repository / "hooks" / "post-receive").read_text() == "#!/bin/sh\n"


def test_remove_says_that_the_hook_from_before_is_gone(server: "GitServer", config: Path) -> None:
    """What somebody else took away cannot come back, and ours goes all the same."""
    repository = server.init("project.git", "--bare")
    (repository / "hooks").mkdir()
    (repository / "hooks" / "post-receive").write_text("#!/bin/sh\n")
    hook(config, "install", "git", repository)
    (repository / "hooks" / "post-receive-before-pulseshim").unlink()

    done = hook(config, "remove", "git", repository)

    assert done.exit_code == 0
    assert "post-receive-before-pulseshim, is gone" in done.output
    assert list((repository / "hooks").iterdir()) == []


def test_the_interpreter_is_none_of_an_environment() -> None:
    """The hook goes on working when pulseshim's environment is removed."""
    found = interpreter()

    assert Path(found).is_absolute()
    assert not (Path(found).parents[1] / "pyvenv.cfg").exists()
    assert "shims" not in found
