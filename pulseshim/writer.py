"""Whether a user may write into a directory, by what the file system says of it.

The access control list is that of acl(5). Its extended attribute holds a version (2) in four bytes, then for
each entry a tag and permissions in two bytes each and an id in four, all little-endian
(linux/posix_acl_xattr.h).
"""

import errno
import grp
import os
import pwd
import stat
import struct
from collections.abc import Iterator
from contextlib import suppress

_ATTRIBUTE = "system.posix_acl_access"
_VERSION = struct.Struct("<I")
_ENTRY = struct.Struct("<HHI")
_USER, _OWNING_GROUP, _GROUP, _MASK, _OTHER = 0x02, 0x04, 0x08, 0x10, 0x20
_ALL, _WRITE_AND_SEARCH, _SEARCH = 0o7, 0o3, 0o1
_NO_LIST = {errno.ENODATA, errno.ENOTSUP, errno.ENOENT}


def user_name(uid: int) -> str:
    """Give the name of a user, as `ls -l` shows it: the number where the system does not know one."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def user_number(name: str) -> int | None:
    """Give the number of a user by name, or as it is written; None where the system does not know it."""
    if name.isascii() and name.isdigit():
        return int(name)
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        return None


def may_write(uid: int, directory: str) -> bool:
    """Say whether a user may add and remove files in a directory, by owner, group, ACL or mode.

    Where the directory is gone, the nearest above it that is there decides. The user must be able to reach
    it, too. Raises OSError where the directory cannot be looked at.
    """
    path = os.path.realpath(directory)
    while not os.path.isdir(path):
        path = os.path.dirname(path)
    groups = _groups(uid)
    return _granted(uid, groups, path, _WRITE_AND_SEARCH) and all(
        _granted(uid, groups, parent, _SEARCH) for parent in _parents(path)
    )


def _parents(path: str) -> Iterator[str]:
    while path != "/":
        path = os.path.dirname(path)
        yield path


def _groups(uid: int) -> frozenset[int]:
    """Give the groups of a user. One that the system does not know by name is in none."""
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return frozenset()
    with suppress(OSError):
        return frozenset(os.getgrouplist(entry.pw_name, entry.pw_gid))
    return frozenset(group.gr_gid for group in grp.getgrall() if entry.pw_name in group.gr_mem)


def _granted(uid: int, groups: frozenset[int], path: str, wanted: int) -> bool:
    """Say whether a user has permissions on a path. Its owner has all: what lacks, he may give himself."""
    status = os.stat(path)
    if uid in (0, status.st_uid):
        return True
    entries = _access_list(path)
    if not entries:
        mode = stat.S_IMODE(status.st_mode)
        return wanted & ~(mode >> 3 if status.st_gid in groups else mode) & _ALL == 0
    mask = next((permissions for tag, permissions, _ in entries if tag == _MASK), _ALL)
    own = [permissions & mask for tag, permissions, whose in entries if tag == _USER and whose == uid]
    of_groups = [
        permissions & mask
        for tag, permissions, whose in entries
        if (tag == _GROUP and whose in groups) or (tag == _OWNING_GROUP and status.st_gid in groups)
    ]
    others = [permissions for tag, permissions, _ in entries if tag == _OTHER]
    # The first kind that names the user decides; of several groups, one that grants it is enough.
    return any(wanted & ~permissions == 0 for permissions in own or of_groups or others)


def _access_list(path: str) -> list[tuple[int, int, int]]:
    """Give the entries of a path's access control list as tag, permissions and id; none where it has none."""
    try:
        value = os.getxattr(path, _ATTRIBUTE)
    except OSError as error:
        if error.errno in _NO_LIST:
            return []
        raise
    whole = len(value) - (len(value) - _VERSION.size) % _ENTRY.size
    return list(_ENTRY.iter_unpack(value[_VERSION.size : whole]))
