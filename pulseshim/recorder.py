"""The writing half of the spool: puts one invocation into it, durably, and touches nothing else.

It runs inside other people's pushes. So it imports nothing but `os`, and the hooks below `contrib/hooks`
carry a copy of `record`, letter for letter, to work where pulseshim is not installed.

A spool has two directories, `tmp/` and `new/`. A file is written in the first and renamed into the second:
what is in `new/` is whole. Its name is the time in nanoseconds since 1970 (20 digits), `-`, and the
invocation's id. Its text is a list of fields, each ended by NUL, and after the last the standard input:

    pulseshim-invocation/1 · id=<uuid> · feed=<feed> · recorded_at=<nanoseconds> · cwd=<directory> ·
    argument=<text>… · environ=<name>=<value>… · stdin=<length in bytes> · <standard input>

No field is decoded or escaped: bytes go in, the same bytes come out.
"""

import os


def record(spool, feed, arguments, environ, stdin, cwd, now, random):  # type: ignore[no-untyped-def]
    """Put an invocation into the spool and give its id; raise OSError where that is impossible.

    `spool`, `feed`, `arguments`, `environ` (pairs), `stdin` and `cwd` are bytes; `now` is in nanoseconds
    since 1970; `random` is 16 bytes. The file is readable for the owner of the spool, whoever writes it.
    """
    digits = random.hex()
    identity = "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
    fields = [b"pulseshim-invocation/1", b"id=" + identity.encode(), b"feed=" + feed]
    fields += [b"recorded_at=%d" % now, b"cwd=" + cwd]
    fields += [b"argument=" + argument for argument in arguments]
    fields += [b"environ=" + name + b"=" + value for name, value in environ]
    fields += [b"stdin=%d" % len(stdin), stdin]
    name = b"%020d-%s" % (now, identity.encode())
    directory = spool + b"/new"
    written, final = spool + b"/tmp/" + name, directory + b"/" + name
    place = os.stat(directory)
    shared = 0o644 if place.st_mode & 0o002 else 0o640
    file = os.open(written, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        if place.st_uid != os.geteuid():
            try:
                # What root records has root's group, and the spool may be closed to all but its owner.
                os.fchown(file, -1, place.st_gid)
            except OSError:
                pass
            os.fchmod(file, shared)
        rest = memoryview(b"\0".join(fields))
        while rest:
            rest = rest[os.write(file, rest) :]
        os.fsync(file)
        os.rename(written, final)
        try:
            parent = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            # A spool that its writers may not list cannot be opened to be synced, and the invocation is in
            # it already: syncing the file once more makes a journalling file system write the rename, too.
            os.fsync(file)
        else:
            try:
                os.fsync(parent)
            finally:
                os.close(parent)
    except OSError:
        try:
            os.unlink(written)
        except OSError:
            pass
        raise
    finally:
        os.close(file)
    return identity


def prepare(spool: bytes, recorders: str) -> None:
    """Make the directories of a spool, open to those who may record: "owner", "group" or "everyone".

    Others than the owner may add files and reach those they know the name of; they may not list the
    directories, nor remove or rename what is not theirs.
    """
    mode = {"owner": 0o700, "group": 0o3730, "everyone": 0o1733}[recorders]
    if not os.path.isdir(spool):
        os.makedirs(spool, exist_ok=True)
        os.chmod(spool, 0o755)  # noqa: S103 - those who record must reach what is in it
    for name in (b"/tmp", b"/new"):
        try:
            os.mkdir(spool + name)
        except FileExistsError:
            if os.stat(spool + name).st_uid != os.geteuid():
                continue
        os.chmod(spool + name, mode)
