"""Secrets from files, as systemd, Docker and Kubernetes pass them: API_TOKEN_FILE names one."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

SECRETS = ("API_TOKEN", "DATABASE_URL", "DATABASE_REPLICA_URL", "GITHUB_TOKEN")
SUFFIX = "_FILE"
FILE_NAMES = tuple(name + SUFFIX for name in SECRETS)


@dataclass
class SecretFiles:
    """The files that the environment names, by setting, with what is wrong with them."""

    values: dict[str, str] = field(default_factory=dict)
    paths: list[Path] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def source(self, name: str) -> str:
        """Return the variable from which a setting's value comes."""
        return name + SUFFIX if name in self.values else name


def read_secret_files(environ: Mapping[str, str], root: Path) -> SecretFiles:
    """Return the content of the files, without one line break at the end of each.

    No problem repeats a path: it may be a secret that was meant for the other variable.
    """
    found = SecretFiles()
    for name in SECRETS:
        file_name = name + SUFFIX
        if not (location := environ.get(file_name, "").strip()):
            continue
        if environ.get(name, "").strip():
            found.problems.append(f"{name} and {file_name} are both set; remove one of them")
            continue
        path = root / location
        try:
            path = root / Path(location).expanduser()
            text = path.read_text(encoding="utf-8").removesuffix("\n")
            reason = "" if text else "this one is empty"
        except OSError as error:
            reason = f"this one can't be read: {error.strerror}"
        except ValueError:
            reason = "this one is not UTF-8"
        except RuntimeError:
            reason = "the account after ~ has no home folder"
        if reason:
            found.problems.append(f"{file_name} takes the path of a file; {reason}")
        else:
            found.values[name] = text
            found.paths.append(path)
    return found


def exposed(path: Path) -> list[str]:
    """Return warnings if other accounts can read or change a file with secrets."""
    if not path.exists():
        return []
    status, found = path.stat(), []
    if status.st_uid not in {os.geteuid(), 0}:  # root can read everything
        found.append(f"{path} belongs to another account; run: chown {os.geteuid()} {path}")
    if status.st_mode & 0o077:
        found.append(f"{path} can be read by other accounts; run: chmod 600 {path}")
    return found
