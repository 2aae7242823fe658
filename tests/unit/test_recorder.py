"""The writing half of the spool."""

import os
import resource
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from pulseshim.recorder import prepare, record

NOW = 1_764_025_361_123_456_789
RANDOM = bytes(range(16))
NAME = "01764025361123456789-00010203-0405-0607-0809-0a0b0c0d0e0f"


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    """Give a spool that only its owner may record into."""
    prepare(os.fsencode(tmp_path / "spool"), "owner")
    return tmp_path / "spool"


def put(spool: Path, stdin: bytes = b"", *, now: int = NOW) -> str:
    """Record an invocation that is always the same but for its standard input."""
    environ = [(b"USER", b"ada"), (b"EMPTY", b""), (b"ODD", b"a=\xff\nb")]
    arguments = [b"opened", b"", b"caf\xe9\n"]
    identity: str = record(os.fsencode(spool), b"git", arguments, environ, stdin, b"/srv/\xff", now, RANDOM)  # type: ignore[no-untyped-call] # hooks carry a copy
    return identity


def test_the_file_has_every_field_as_it_was_given(spool: Path) -> None:
    """The format is the one the module describes, byte for byte: readers of other versions rely on it."""
    stdin = b"two\0fields\nof input\n"

    identity = put(spool, stdin)

    assert identity == "00010203-0405-0607-0809-0a0b0c0d0e0f"
    fields = [b"pulseshim-invocation/1", b"id=" + identity.encode(), b"feed=git", b"recorded_at=%d" % NOW]
    fields += [b"cwd=/srv/\xff", b"argument=opened", b"argument=", b"argument=caf\xe9\n"]
    fields += [b"environ=USER=ada", b"environ=EMPTY=", b"environ=ODD=a=\xff\nb", b"stdin=20", stdin]
    assert (spool / "new" / NAME).read_bytes() == b"\0".join(fields)


def test_what_is_recorded_is_whole_and_alone(spool: Path) -> None:
    """Nothing stays in tmp/, and only the owner of the spool reads what is in new/."""
    put(spool)

    assert os.listdir(spool / "tmp") == []
    assert os.listdir(spool / "new") == [NAME]
    assert stat.S_IMODE((spool / "new" / NAME).stat().st_mode) == 0o600


def test_names_sort_by_time(spool: Path) -> None:
    """A reader that takes names in order takes invocations in order."""
    later = [put(spool, now=now) and now for now in (10, 9, NOW)]

    names = sorted(os.listdir(spool / "new"))

    assert [int(name[:20]) for name in names] == sorted(later)


def test_an_input_of_many_megabytes_is_written_whole(spool: Path) -> None:
    """There is no limit here: it is the reader that has one."""
    stdin = os.urandom(1 << 20) * 20

    put(spool, stdin)

    assert (spool / "new" / NAME).read_bytes().endswith(b"stdin=%d\0" % len(stdin) + stdin)


def test_an_invocation_is_never_written_over(spool: Path) -> None:
    """The same name twice is an error, and the first stays as it is."""
    (spool / "tmp" / NAME).write_bytes(b"somebody else's")

    with pytest.raises(FileExistsError):
        put(spool)

    assert (spool / "tmp" / NAME).read_bytes() == b"somebody else's"


def test_a_link_in_the_way_is_not_followed(spool: Path, tmp_path: Path) -> None:
    """Whoever can guess a name cannot make a recorder write elsewhere."""
    victim = tmp_path / "victim"
    (spool / "tmp" / NAME).symlink_to(victim)

    with pytest.raises(FileExistsError):
        put(spool)

    assert not victim.exists()


def test_what_cannot_be_written_whole_leaves_nothing(spool: Path) -> None:
    """On a full disk the error reaches the caller, and tmp/ is as empty as before."""
    program = "import os, sys; from pulseshim.recorder import record\n"
    program += "record(os.fsencode(sys.argv[1]), b'git', (), (), b'x' * 100000, b'/', 1, bytes(16))"

    done = subprocess.run(
        [sys.executable, "-c", program, spool],
        capture_output=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)),
    )

    assert b"OSError: [Errno 27] File too large" in done.stderr
    assert [os.listdir(spool / name) for name in ("tmp", "new")] == [[], []]


@pytest.mark.parametrize("missing", ["tmp", "new"])
def test_a_spool_that_is_not_whole_is_an_error(spool: Path, missing: str) -> None:
    """The error names what is missing."""
    (spool / missing).rmdir()

    with pytest.raises(FileNotFoundError) as caught:
        put(spool)

    assert missing in os.fsdecode(caught.value.filename)


@pytest.mark.parametrize(("recorders", "mode"), [("owner", 0o700), ("group", 0o3730), ("everyone", 0o1733)])
def test_a_spool_is_open_to_those_who_may_record(tmp_path: Path, recorders: str, mode: int) -> None:
    """Others may add files; they may neither list nor take away. Preparing again sets that right."""
    spool = tmp_path / "store" / "spool"
    prepare(os.fsencode(spool), "owner")

    prepare(os.fsencode(spool), recorders)

    modes = [stat.S_IMODE((spool / name).stat().st_mode) for name in ("tmp", "new")]
    assert modes == [mode, mode]


def test_what_others_record_can_be_read_by_the_owner_of_the_spool(tmp_path: Path) -> None:
    """The writer may be anybody: the file is readable for the service, and for the writer alone otherwise."""
    spool = tmp_path / "spool"
    prepare(os.fsencode(spool), "everyone")
    owned_by_another = os.geteuid() == 0
    if owned_by_another:
        os.chown(spool / "new", 65534, 65534)

    put(spool)

    mode = stat.S_IMODE((spool / "new" / NAME).stat().st_mode)
    assert mode == (0o644 if owned_by_another else 0o600)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root records where only the owner may")
@pytest.mark.parametrize("recorders", ["owner", "group"])
def test_what_root_records_can_be_read_by_the_group_of_the_spool(tmp_path: Path, recorders: str) -> None:
    """A closed spool takes what root records, a baseline for example; who recorded it can still be seen."""
    spool = tmp_path / "spool"
    prepare(os.fsencode(spool), recorders)
    for place in (spool / "tmp", spool / "new"):
        os.chown(place, 65534, 65534)

    put(spool)

    status = (spool / "new" / NAME).stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (0, 65534, 0o640)
