"""The account of the operating system under which the embedded server runs."""

import os
import pwd
import stat
from pathlib import Path
from typing import NamedTuple

from ..errors import EmbeddedPostgresError


class Account(NamedTuple):
    """A user ID and its primary group."""

    uid: int
    gid: int


# No distribution assigns this number, see the table in https://systemd.io/UIDS-GIDS/
PRIVATE_ACCOUNT = Account(65_526, 65_526)


def server_account(folder: Path) -> Account | None:
    """Return the account that runs the server on a data folder, or None for this process's own.

    PostgreSQL refuses to run as root. For root this is the owner of the data folder, or of its
    parent folder where it does not exist yet, so that a user's data stay the user's. Where that
    is root as well, it is PRIVATE_ACCOUNT, which has no name and runs nothing else. Under a shared
    account such as `nobody`, any other process of that account could change the data files, and
    a password for logins would not prevent it.
    """
    if os.geteuid() != 0:
        return None
    owner = (folder if folder.exists() else folder.parent).stat().st_uid
    return _with_group(owner) if owner else PRIVATE_ACCOUNT


def initdb_account(account: Account | None) -> Account | None:
    """Return the account that runs `initdb` for the server's account.

    `initdb` needs a user name. For an account without one this is `nobody`, in that account's
    group.

    Raises:
        EmbeddedPostgresError: this process's account, or `nobody`, has no name.
    """
    uid = account.uid if account else os.geteuid()
    if _has_name(uid):
        return account
    nobody = _uid_of_nobody()
    if account is None or nobody is None:
        raise EmbeddedPostgresError(
            f"initdb needs a user name, and user ID {uid} has none; "
            "add it to /etc/passwd, or set DATABASE_URL"
        )
    return Account(nobody, account.gid)


def belongs_to_nobody(folder: Path) -> bool:
    """Check whether root gave the data folder to `nobody`, as earlier versions did.

    If others can write in the parent folder, a process of `nobody` may have created it.
    """
    parent = folder.parent.stat()
    created_by_root = parent.st_uid == 0 and not parent.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return os.geteuid() == 0 and created_by_root and folder.stat().st_uid == _uid_of_nobody()


def _with_group(uid: int) -> Account:
    try:
        group = pwd.getpwuid(uid).pw_gid
    except KeyError:
        group = uid
    return Account(uid, group or uid)  # never root's group


def _has_name(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def _uid_of_nobody() -> int | None:
    try:
        return pwd.getpwnam("nobody").pw_uid
    except KeyError:
        return None
