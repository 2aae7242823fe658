"""A user of this machine, and what the file system lets them do with a directory.

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
from dataclasses import dataclass

_ATTRIBUTE = "system.posix_acl_access"
_VERSION = struct.Struct("<I")
_ENTRY = struct.Struct("<HHI")
_USER, _OWNING_GROUP, _GROUP, _MASK, _OTHER = 0x02, 0x04, 0x08, 0x10, 0x20
_ALL, _READ, _WRITE, _SEARCH = 0o7, 0o5, 0o3, 0o1
_NO_LIST = {errno.ENODATA, errno.ENOTSUP, errno.ENOENT}


@dataclass(frozen=True, slots=True)
class User:
    """A user by number. What is asked of a directory that is gone is asked of the nearest above it.

    Permissions are those of mode and access control list, with the groups that the system knows the user by.
    Raises OSError where a directory cannot be looked at.
    """

    number: int

    @property
    def name(self) -> str:
        """Give the name, as `ls -l` shows it: the number where the system does not know one."""
        try:
            return pwd.getpwuid(self.number).pw_name
        except KeyError:
            return str(self.number)

    def __str__(self) -> str:
        """Give number and name."""
        return f"{self.number} ({self.name})" if self.name != str(self.number) else self.name

    def owns(self, directory: str) -> bool:
        """Say whether a directory belongs to the user."""
        return os.stat(_nearest(directory)).st_uid == self.number

    def may_read(self, directory: str) -> bool:
        """Say whether the user may list a directory and open what is in it."""
        return self._may(directory, _READ)

    def may_write(self, directory: str) -> bool:
        """Say whether the user may add files to a directory, and remove them."""
        return self._may(directory, _WRITE)

    def alone_writes(self, path: str) -> bool:
        """Say whether nobody but the user, whose it is, and root can write to a file.

        A group may where it was made for the user: it is theirs, has their name, and nobody else is in it.
        """
        status = os.lstat(path)
        if not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            return True  # what an access control list gives to others has its bound in the group's bits
        return not status.st_mode & stat.S_IWOTH and self._has_alone(status.st_gid) and not _access_list(path)

    def _has_alone(self, group: int) -> bool:
        try:
            entry, own = pwd.getpwuid(self.number), grp.getgrgid(group)
        except KeyError:
            return False
        # A directory of users may list none but those that are asked for; hence the name as well.
        named = entry.pw_gid == group and own.gr_name == entry.pw_name
        others = any(one.pw_gid == group and one.pw_uid != self.number for one in pwd.getpwall())
        return named and not others and set(own.gr_mem) <= {entry.pw_name}

    def _may(self, directory: str, wanted: int) -> bool:
        path, groups = _nearest(directory), _groups(self.number)
        return _granted(self.number, groups, path, wanted) and all(
            _granted(self.number, groups, parent, _SEARCH) for parent in _parents(path)
        )


def user_called(name: str) -> User | None:
    """Give a user by name, or by number as it is written; None where the system knows none of that name."""
    if name.isascii() and name.isdigit():
        return User(int(name))
    try:
        return User(pwd.getpwnam(name).pw_uid)
    except KeyError:
        return None


def _nearest(directory: str) -> str:
    path = os.path.realpath(directory)
    while not os.path.isdir(path):
        path = os.path.dirname(path)
    return path


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
