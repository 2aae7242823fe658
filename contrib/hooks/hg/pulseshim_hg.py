"""pulseshim's hook for Mercurial: writes down what a transaction changed, for pulseshim to announce later.

It is an extension, which Mercurial loads into its own process. It notes what changed as each transaction
ends, and records that once the lock is released:

    [extensions]
    pulseshim = /path/to/pulseshim_hg.py
    [pulseshim]
    spool = /var/lib/pulseshim/spool

It puts one file into the spool and returns. It opens no connection, starts no process, and needs nothing of
pulseshim: not installed, not importable, not running. Whatever fails is said in one line to the pusher, and
the push goes on; so it does, with a warning, where this file is gone or cannot be loaded. (With a line in
`[hooks]`, each push would fail then, its transaction done.) Any Python from 3.6 on will do.

    pulseshim hook install hg REPOSITORY     writes these lines, and a copy of this file
    pulseshim hook show hg REPOSITORY        what is installed, and whether it is sound
    pulseshim hook remove hg REPOSITORY      puts things back as they were
"""

import os
import signal
import threading
import time

VERSION = 1
# Of Mercurial: what the tests run this with. It reads the name, and blames an extension without it first.
testedwith = b"6.3 7.2"

# What of the environment is written down: who pushed. Nothing that could be secret.
NAMES = (b"REMOTE_USER", b"LOGNAME", b"USER")
# What of Mercurial's arguments is written down.
FACTS = ("txnid", "txnname", "source", "url")
# The heads of what came are written down unless that would take longer than a push should wait.
FEW = 2000
# A longer run is written down in parts: if it loses changesets, what lies between their ends is known yet.
MOST_PARTS = 40
SECRET = 2
# Among what Mercurial gives of a transaction to its hooks.
KEPT = b"pulseshim"
# What would end a server half-way waits until its transaction is recorded.
HELD = [getattr(signal, name) for name in ("SIGHUP", "SIGINT", "SIGTERM") if hasattr(signal, name)]


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


def reposetup(ui, repo):
    """Have the transactions of a repository recorded: Mercurial calls this for each that it opens.

    It is no entry of `hooks`: beside hooks of an hgrc that Mercurial does not trust, it would not be run.
    """
    try:
        if not repo.local():
            return

        class RecordedRepository(repo.__class__):
            def transaction(self, *arguments, **named):
                made = super().transaction(*arguments, **named)
                # Of these callbacks, which run in the order of their names, the one that strips is the last.
                made.addpostclose(b"-pulseshim", lambda ended: uninterrupted(self.ui, note, self, ended))
                return made

            def hook(self, name, throw=False, **facts):
                if name == b"txnclose" and getattr(self.ui, "callhooks", True):
                    record_transaction(self.ui, self, **facts)
                return super().hook(name, throw, **facts)

        repo.__class__ = RecordedRepository
    except Exception as error:
        say(ui, error)


def note(repo, transaction):
    """Keep when a transaction ended and what it changed: a strip renumbers revisions before hooks run."""
    given = transaction.changes
    given[KEPT] = int(time.time() * 1e9), changes(repo, given)


def record_transaction(ui, repo, **facts):
    """Record what a transaction changed. It returns false, and raises nothing but what a signal raises."""
    uninterrupted(ui, record_noted, ui, repo, facts)
    return False


def record_noted(ui, repo, facts):
    """Record what was kept of a transaction: once, in how many hgrc files this file may be named."""
    now, changed = (facts.get("changes") or {}).pop(KEPT, (0, []))
    if changed:
        spool = ui.configpath(b"pulseshim", b"spool") or b"(none: set pulseshim.spool in hgrc)"
        pairs = [(name, facts[name]) for name in FACTS if isinstance(facts.get(name), bytes)]
        arguments = [name.encode() + b"=" + fact.replace(b"\0", b"") for name, fact in pairs]
        environ = getattr(ui, "environ", None) or os.environb
        chosen = [(name, environ[name]) for name in NAMES if isinstance(environ.get(name), bytes)]
        place = os.path.dirname(os.path.realpath(repo.sharedpath))
        stdin = b"".join(field + b"\0" for fields in changed for field in fields)
        record(spool, b"hg", arguments, chosen, stdin, place, now, os.urandom(16))


def uninterrupted(ui, action, *arguments):
    """Do something to its end, or say why it failed: a signal that comes meanwhile has its effect afterwards.

    Only the main thread is ever interrupted, whichever takes the signal. So its handlers wait; a mask of
    signals would not hold where another thread runs.
    """
    came, raised = [], []

    def wait(number, _frame):
        came.append(number)

    is_main = threading.current_thread() is threading.main_thread()
    handlers = [(number, signal.getsignal(number)) for number in HELD if is_main]
    handlers = [pair for pair in handlers if pair[1] not in (None, signal.SIG_IGN)]
    for number, _ in handlers:
        certainly(raised, signal.signal, number, wait)
    try:
        action(*arguments)
    except BaseException as error:
        say(ui, error)
    for number, handler in handlers:
        certainly(raised, signal.signal, number, handler)
    for number in came:
        try:
            os.kill(os.getpid(), number)
        except BaseException as error:
            raised.append(error)
    if raised:
        raise raised[0]


def certainly(raised, action, *arguments):
    """Do something, again where a signal gets in its way; keep what that raised."""
    while True:
        try:
            return action(*arguments)
        except BaseException as error:
            raised.append(error)
            if isinstance(error, (TypeError, ValueError, OSError)):
                return None  # it can never be done


def changes(repo, given):
    """Give what a transaction changed as lists of fields, of which the first says of what kind it is.

    Where a bookmark was or is on a secret changeset, that node is left out; so are markers of secret ones.
    """
    whole = repo.unfiltered()
    changelog = whole.changelog
    moves = spans(given.get(b"phases") or [])
    lines = []
    for revs, (old, new) in moves:
        if old == new:
            continue
        first, last = hexed(changelog.node(revs[0])), hexed(changelog.node(revs[-1]))
        if old is None:
            lines.append([b"added", b"%d" % new, first, last, b"%d" % len(revs)])
        else:
            lines.append([b"phase", b"%d" % old, b"%d" % new, first, last, b"%d" % len(revs)])
    lines += [[b"head", hexed(changelog.node(rev))] for rev in heads(changelog, moves)]
    for name, nodes in sorted(bookmarks(repo, given).items()):
        old, new = (None if is_secret(whole, node) else node for node in nodes)
        if old != new:
            lines.append([b"bookmark", stored(name), hexed(old), hexed(new)])
    for marker in sorted(given.get(b"obsmarkers") or (), key=lambda marker: (marker[4][0], marker[:2])):
        if is_secret(whole, marker[0]):
            continue
        user = dict(marker[3]).get(b"user", b"").replace(b"\0", b"")
        successors = b" ".join(hexed(node) for node in marker[1] if not is_secret(whole, node))
        lines.append([b"marker", hexed(marker[0]), successors, user, b"%r" % float(marker[4][0])])
    return lines


def spans(phases):
    """Give revisions that follow each other and moved alike together, as pairs of them and their move.

    Before Mercurial 5.9, each stood alone, in a mapping.
    """
    if hasattr(phases, "items"):
        phases = [((rev,), move) for rev, move in sorted(phases.items())]
    found = []
    for revs, move in (pair for pair in phases if len(pair[0])):
        if found and found[-1][1] == move and found[-1][0][-1] + 1 == revs[0]:
            found[-1] = (range(found[-1][0][0], revs[-1] + 1), move)
        else:
            found.append((revs, move))
    sized = [(revs, move, max(FEW, len(revs) // MOST_PARTS + 1)) for revs, move in found]
    return [(revs[at : at + size], move) for revs, move, size in sized for at in range(0, len(revs), size)]


def is_secret(whole, node):
    """Say whether a changeset that may not be there is secret."""
    if not node:
        return False
    try:
        return whole[whole.changelog.rev(node)].phase() >= SECRET
    except LookupError:
        return False


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
