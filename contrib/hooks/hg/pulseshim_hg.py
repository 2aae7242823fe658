"""pulseshim's hook for Mercurial: writes down what a transaction changed, for pulseshim to announce later.

Mercurial loads this file into its own process and calls `record_transaction` after each transaction, once its
lock is released:

    [hooks]
    txnclose.pulseshim = python:/path/to/pulseshim_hg.py:record_transaction
    [pulseshim]
    spool = /var/lib/pulseshim/spool

It puts one file into the spool and returns. It opens no connection, starts no process, and needs nothing of
pulseshim: not installed, not importable, not running. Whatever fails is said in one line to the pusher, and
the push goes on. Any Python from 3.6 on will do.

    pulseshim hook install hg REPOSITORY     writes these lines, and a copy of this file
    pulseshim hook show hg REPOSITORY        what is installed, and whether it is sound
    pulseshim hook remove hg REPOSITORY      puts things back as they were
"""

import os
import time

VERSION = 1

# What of the environment is written down: who pushed. Nothing that could be secret.
NAMES = (b"REMOTE_USER", b"LOGNAME", b"USER")
# What of Mercurial's arguments is written down.
FACTS = ("txnid", "txnname", "source", "url")
# The heads of what came are written down unless that would take longer than a push should wait.
FEW = 2000
SECRET = 2


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


def record_transaction(ui, repo, **facts):
    """Record what a transaction changed: the entry that hgrc names. It returns false, and raises nothing."""
    try:
        spool = ui.configpath(b"pulseshim", b"spool") or b"(none: set pulseshim.spool in hgrc)"
        changed = changes(repo, facts.get("changes") or {})
        if changed:
            pairs = [(name, facts[name]) for name in FACTS if isinstance(facts.get(name), bytes)]
            arguments = [name.encode() + b"=" + fact.replace(b"\0", b"") for name, fact in pairs]
            place = os.path.dirname(os.path.realpath(repo.sharedpath))
            stdin = b"".join(field + b"\0" for fields in changed for field in fields)
            now, random = (
                time.time_ns() if hasattr(time, "time_ns") else int(time.time() * 1e9),
                os.urandom(16),
            )
            record(spool, b"hg", arguments, chosen(ui), stdin, place, now, random)
    except BaseException as error:
        say(ui, error)
    return False


def changes(repo, given):
    """Give what a transaction changed as lists of fields, of which the first says of what kind it is."""
    changelog = repo.unfiltered().changelog
    phases = given.get(b"phases") or []
    # Before Mercurial 5.9, these were a mapping from each revision.
    moves = [((r,), p) for r, p in sorted(phases.items())] if hasattr(phases, "items") else list(phases)
    lines = []
    for revs, (old, new) in moves:
        if old == new or not len(revs):
            continue
        first, last = hexed(changelog.node(revs[0])), hexed(changelog.node(revs[-1]))
        if old is None:
            lines.append([b"added", b"%d" % new, first, last, b"%d" % len(revs)])
        else:
            lines.append([b"phase", b"%d" % old, b"%d" % new, first, last, b"%d" % len(revs)])
    lines += [[b"head", hexed(changelog.node(rev))] for rev in heads(changelog, moves)]
    for name, (old, new) in sorted(bookmarks(repo, given).items()):
        if old != new:
            lines.append([b"bookmark", stored(name), hexed(old), hexed(new)])
    for marker in sorted(given.get(b"obsmarkers") or (), key=lambda marker: (marker[4][0], marker[:2])):
        user = dict(marker[3]).get(b"user", b"").replace(b"\0", b"")
        successors = b" ".join(hexed(node) for node in marker[1])
        lines.append([b"marker", hexed(marker[0]), successors, user, b"%r" % float(marker[4][0])])
    return lines


def heads(changelog, moves):
    """Give those revisions that came, and are not secret, which have no child among them."""
    came = [revs for revs, (old, new) in moves if old is None and new < SECRET]
    if sum(len(revs) for revs in came) > FEW:
        return []
    came = {rev for revs in came for rev in revs}
    return sorted(came.difference(parent for rev in came for parent in changelog.parentrevs(rev)))


def bookmarks(repo, given):
    """Give the moves of bookmarks, unless they are those of a share that has its own."""
    moves = given.get(b"bookmarks") or {}
    if moves and os.path.realpath(repo.path) != os.path.realpath(repo.sharedpath):
        try:
            with open(os.path.join(repo.path, b"shared"), "rb") as file:
                return moves if b"bookmarks" in file.read().split() else {}
        except OSError:
            return {}
    return moves


def stored(name):
    """Give the name of a bookmark as it is stored, in UTF-8, whatever encoding the server works in."""
    try:
        from mercurial import encoding  # noqa: PLC0415 - nothing else here needs Mercurial

        return encoding.fromlocal(name)
    except Exception:
        return bytes(name)


def chosen(ui):
    """Give the variables that are written down, as pairs."""
    environ = getattr(ui, "environ", None) or os.environb
    return [(name, environ[name]) for name in NAMES if isinstance(environ.get(name), bytes)]


def hexed(node):
    """Give a node in hexadecimal digits; empty where there is none."""
    return node.hex().encode() if node else b""


def say(ui, error):
    """Tell the pusher what failed, who may have hung up already."""
    try:
        path = getattr(error, "filename", None) or b""
        reason = getattr(error, "strerror", None) or repr(error)
        text = b"%s%s" % (os.fsencode(reason), b": " + os.fsencode(path) if path else b"")
        remedy = b"the administrator of this server finds out more with `pulseshim check`"
        ui.warn(b"pulseshim: this push was not recorded (%s); %s\n" % (text, remedy))
    except BaseException:
        pass
