"""Files and folders of the embedded server, which only its account and root can use.

Root works here in folders of other accounts, which could replace a file by a symbolic link. So
these functions do not follow a link in the last part of a path.
"""

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import IO

from .account import Account


def beside(folder: Path, suffix: str) -> Path:
    """Return the path with the folder's name and a suffix, such as `postgres.lock`."""
    return folder.with_name(folder.name + suffix)


def create_folders(folder: Path) -> None:
    """Create a folder and the missing ones above it, with mode 0700."""
    for path in reversed((folder, *folder.parents)):
        if not path.exists():
            path.mkdir(mode=0o700)


def open_lock_file(path: Path, account: Account | None) -> IO[str]:
    """Open a file that processes lock, and create it if it is missing.

    The server's account owns it, so that this account can start the server without root later.
    """

    def opener(name: str, flags: int) -> int:
        flags |= os.O_NOFOLLOW
        try:
            descriptor = os.open(name, flags | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return os.open(name, flags)
        if account:
            os.fchown(descriptor, *account)
        return descriptor

    return open(path, "r+", opener=opener)


def replace_file(folder: Path, name: str, content: str, account: Account | None) -> None:
    """Write a file in a folder of the server's account, with mode 0600, whole or not at all."""
    temporary = f"{name}.new"
    directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if account and os.fstat(directory).st_uid != account.uid:
            raise PermissionError(f"its owner is not user ID {account.uid}")
        with suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=directory)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        with os.fdopen(os.open(temporary, flags, 0o600, dir_fd=directory), "w") as file:
            if account:
                os.fchown(file.fileno(), *account)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
    finally:
        os.close(directory)


def change_owner(folder: Path, account: Account) -> None:
    """Change the owner of a folder, and of all in it that had the same owner."""
    owner = folder.lstat().st_uid
    for _, folders, files, directory in os.fwalk(folder):
        for name in (*folders, *files):
            # A hard link may lead to a file of another account, which must keep its owner.
            if os.stat(name, dir_fd=directory, follow_symlinks=False).st_uid == owner:
                os.chown(name, *account, dir_fd=directory, follow_symlinks=False)
    os.chown(folder, *account, follow_symlinks=False)


def make_reachable(folder: Path, account: Account) -> None:
    """Allow the account to traverse the folders above, by the one permission bit that it needs."""
    for parent in folder.parents:
        found = parent.stat()
        if found.st_uid == account.uid:
            needed = stat.S_IXUSR
        elif found.st_gid == account.gid:
            needed = stat.S_IXGRP
        else:
            needed = stat.S_IXOTH
        if not found.st_mode & needed:
            parent.chmod(stat.S_IMODE(found.st_mode) | needed)
