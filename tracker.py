#!/usr/bin/env python3
"""Start GitHub Task Tracker from a checkout, with nothing but Python; see `--help`.

The first start creates .venv and installs requirements.lock there; later ones find it. A .venv
that this script did not create is used as it is.

This script needs the standard library only, and nothing can be imported from it: `import tracker`
is the package. It starts Python isolated (`-I`), or in the checkout and without PYTHONPATH, so that
no module in the caller's folder can stand in for pip or for the service.
"""

import errno
import hashlib
import os
import re
import shlex
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

OLDEST: "tuple[int, int]" = (3, 10)  # Python 2 stops here: Python 3.10 or later is needed
ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
PROGRAM = "python3 " + shlex.quote(sys.argv[0])  # as it can be typed where it was called
MARKER = VENV / ".made-by-tracker"  # holds the real path of PYTHON, once .venv is complete

# Commands of tracker/cli, each with its own --help, and `test`
VERBS = {
    "add": "create a task, such as: add pallets/flask Try 3.2 +upgrade due:fri",
    "list": "list tasks, with filters such as --tag upgrade --due-before +1w",
    "show": "show all that is known about tasks",
    "edit": "change tasks, by options or one in $EDITOR",
    "start": "mark tasks as in progress",
    "done": "mark tasks as done",
    "reopen": "open finished tasks again",
    "rm": "delete tasks",
    "open": "open the tasks' pages on GitHub in the browser",
    "undo": "undo the last of these commands that changed tasks",
    "refresh": "ask GitHub anew for the metadata of repositories",
    "changes": "list what GitHub changed in the repositories",
    "repos": "list the repositories that have tasks",
    "export": "write all tasks to a file",
    "import": "create tasks from a file",
    "completion": "print a script for bash, zsh or fish",
}
COMMANDS = {
    "demo": "serve with a local stand-in for GitHub and sample tasks; --reset starts afresh",
    "db": "create the database schema or bring it up to date; dump and restore the database",
    "doctor": "check the settings, the database, its schema, GitHub and the cache",
    "test": "run the tests; further words go to pytest",
}
HELP = """\
Usage: %s [--unlocked] [COMMAND ...]

Without a command, serve on http://127.0.0.1:8000 (HOST and PORT change that).

Tasks, with the service running or not:
%s

The service:
%s

Options:
  --unlocked  install requirements.txt, where requirements.lock does not fit this machine
  --version   print the version
  --help      print this text; after a command, the help of the command"""


def main(arguments: "list[str]") -> None:
    """Prepare the environment, then replace this process with the command."""
    if sys.version_info < OLDEST:
        fail("Python %d.%d or later is needed, and this is %d.%d" % (OLDEST + sys.version_info[:2]))
    if os.name != "posix":
        fail("Linux or macOS is needed; on Windows use WSL")
    unlocked = arguments[:1] == ["--unlocked"]
    command = parse(arguments[unlocked:])
    requirements = "requirements-dev" if command[1] == "pytest" else "requirements"
    if command[1] == "gunicorn":
        check_concurrency()
    # SIGTERM and a closed terminal stop pip too, as Ctrl-C does.
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, lambda number, _: sys.exit(128 + number))
    for name in ("PYTHONHOME", "PYTHONPATH", "PYTHONPLATLIBDIR", "PYTHONSAFEPATH"):
        os.environ.pop(name, None)  # each changes what an import finds
    os.environ["FLASK_SKIP_DOTENV"] = "1"  # else Flask reads a .env of the folders above, too
    mask = os.umask(0o022)  # PostgreSQL refuses root: another account must read its programs
    try:
        prepare_environment(requirements, unlocked)
    except OSError as error:
        remedies = {errno.ENOSPC: "free some space", errno.EACCES: "make the folder writable"}
        remedy = remedies.get(error.errno or 0, "correct that and start again")
        fail("can't create the environment in %s: %s; %s" % (VENV, error.strerror, remedy))
    os.umask(mask)
    with suppress(FileNotFoundError):  # the folder has been removed
        os.environ["TRACKER_CWD"] = str(Path.cwd())  # where relative paths in arguments start
    os.chdir(ROOT)
    if sys.stdout:
        sys.stdout.flush()
    open_closed_streams()
    os.execv(PYTHON, [str(PYTHON), *command])


def open_closed_streams() -> None:
    """Open each standard stream that is closed; else a socket or a database would get its number.

    Python has None for a closed stream, which most of its users do not expect.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)


def parse(arguments: "list[str]") -> "list[str]":
    """Return the arguments for the environment's Python, or exit where it is not needed."""
    if "_TRACKER_COMPLETE" in os.environ:  # a shell's script of `completion` calls
        return ["-m", "tracker.cli", PROGRAM]
    if not arguments:
        return ["-m", "gunicorn", "wsgi:app"]
    command = arguments[0]
    if {"-h", "--help"} & set(arguments) and not (is_foreign() or is_complete()):
        print_help()  # a command's own help needs the packages
    if command == "test":
        return ["-m", "pytest", *arguments[1:]]
    if command in VERBS or command in COMMANDS:
        return ["-m", "tracker.cli", PROGRAM, *arguments]
    if command in ("help", "--help", "-h"):
        print_help()
    if command == "--version":
        text = (ROOT / "tracker" / "config.py").read_text(encoding="utf-8")
        show(
            " ".join(["GitHub Task Tracker", *re.findall('^VERSION = "(.+)"', text, re.MULTILINE)])
        )
    words = [*VERBS, *COMMANDS, "--unlocked", "--version", "--help"]
    import difflib  # as here, only where it is needed: each module delays every `list`

    similar = difflib.get_close_matches(command, words, 1)
    hint = "did you mean %s?" % similar[0] if similar else "see %s --help" % PROGRAM
    if command in ("run", "serve"):  # `run` is Flask's development server: it starts no database
        hint = "%s, without a command, serves" % PROGRAM
    return fail("unknown command %s; %s" % (shlex.quote(command), hint), code=2)


def print_help() -> "NoReturn":
    """Print the help, and exit."""
    lists = ["\n".join("  %-12s%s" % item for item in each.items()) for each in (VERBS, COMMANDS)]
    show(HELP % (PROGRAM, *lists))


def show(text: str) -> "NoReturn":
    """Print a text, and exit."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `| head` may close the pipe
    try:
        print(text, flush=True)
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or the flush at the exit would fail too
        fail("can't write the output: %s; free some space or write it elsewhere" % error.strerror)
    sys.exit()


def check_concurrency() -> None:
    """Check WEB_CONCURRENCY, which gunicorn reads before it loads our settings."""
    text = os.environ.pop("WEB_CONCURRENCY", "").strip()
    if text and not re.match("[0-9]{1,9}$", text):
        fail("WEB_CONCURRENCY takes a whole number from 1 to 64, not %r" % text)
    if text:
        os.environ["WEB_CONCURRENCY"] = text


def prepare_environment(requirements: str, unlocked: bool) -> None:
    """Create .venv and install the requirements, unless both are done already."""
    if is_foreign():
        check_foreign_environment(requirements)
    elif not is_current(requirements):
        with locked_folder():
            if is_current(requirements):  # another start has installed them meanwhile
                return
            if not is_complete():
                create_environment()
            install(requirements, unlocked)


def is_foreign() -> bool:
    """Return whether .venv is there, but not created by this script."""
    if VENV.is_symlink() or not VENV.is_dir():
        return os.path.lexists(VENV)
    return any(VENV.iterdir()) and not any(VENV.glob(".made-by-*"))


def check_foreign_environment(requirements: str) -> None:
    """Check that an environment made by hand has the packages; change nothing in it."""
    found = "has no bin/python; move it away"
    if os.access(PYTHON, os.X_OK):
        files = sorted({"requirements.txt", requirements + ".txt"})
        missing = ", ".join(name for file in files for name in find_missing(file, exact=False))
        if not missing:
            return
        lock = str(ROOT / (requirements + ".lock"))
        command = " ".join(map(shlex.quote, [str(PYTHON), "-m", "pip", "install", "-r", lock]))
        found = "lacks %s; run: %s" % (missing, command)
    fail("%s was not created by tracker.py, and %s" % (VENV, found))


def is_complete() -> bool:
    """Return whether .venv is complete, and its Python still the one that it was created with."""
    earlier = VENV / (".made-by-%s" % sys.implementation.cache_tag)  # as version 0.1 named it
    try:
        same = earlier.exists() or MARKER.read_text() == os.path.realpath(PYTHON)
    except OSError:
        return False
    return same and os.access(PYTHON, os.X_OK)


def is_current(requirements: str) -> bool:
    """Return whether the requirements, as they are now, have been installed."""
    try:
        return is_complete() and stamp(requirements).read_text() == fingerprint(requirements)
    except OSError:
        return False


def stamp(requirements: str) -> Path:
    """Return the path of the file that holds the fingerprint of what was installed last."""
    return VENV / (".installed-%s" % requirements)


def fingerprint(requirements: str) -> str:
    # The requirements of the tests include those of the service.
    names = [n + end for n in sorted({"requirements", requirements}) for end in (".txt", ".lock")]
    return hashlib.sha256(b"\0".join((ROOT / name).read_bytes() for name in names)).hexdigest()


def create_environment() -> None:
    """Create .venv anew, its marker first: what a killed start leaves is still known as ours."""
    import shutil

    say("Creating an environment in %s, once" % VENV)
    code, _ = run([sys.executable, "-I", "-c", "import ensurepip, venv"])
    if code:
        package = "python%d.%d-venv" % sys.version_info[:2]
        fail("this Python has no venv module; install it (Debian: sudo apt install %s)" % package)
    VENV.mkdir(exist_ok=True)
    MARKER.write_text("unfinished")
    for path in set(VENV.iterdir()) - {MARKER}:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    code, lines = run([sys.executable, "-I", "-m", "venv", str(VENV)])
    if code:
        fail("can't create the environment in %s: %s; is the disk full?" % (VENV, lines[-1]))
    MARKER.write_text(os.path.realpath(PYTHON))


def install(requirements: str, unlocked: bool) -> None:
    """Install the lock, or without it the short list, and check that the packages are there."""
    file = requirements + (".txt" if unlocked else ".lock")
    say("Installing %s" % file)
    options = [] if unlocked else ["--require-hashes", "--only-binary", ":all:"]
    pip = [str(PYTHON), "-I", "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    code, lines = run([*pip, *options, "--requirement", str(ROOT / file)])
    if code:
        fail("pip can't install %s: %s" % (file, explain(lines, unlocked)))
    missing = ", ".join(find_missing(file, exact=True))
    if missing:
        advice = "see whether `pip config list` or PIP_TARGET names another folder"
        fail("pip reports success, but %s lacks %s; %s" % (VENV, missing, advice))
    for name in {"requirements", requirements}:
        stamp(name).write_text(fingerprint(name))


def explain(lines: "list[str]", unlocked: bool) -> str:
    """Return the reason for pip's failure and the remedy, from what pip printed."""
    output = "\n".join(lines)
    (VENV / "pip.log").write_text(output, encoding="utf-8")
    changed = re.search(r"DO NOT MATCH THE HASHES.*\n +(\S+)", output)
    missing = re.search(r"No matching distribution found for (\S+)", output)
    broken = re.findall(r"Retry\(total=0.*connection broken by '(.*)'", output)
    if changed:
        remedy = "see which package index `pip config list` names, and start again"
        return "the file for %s has another hash than the lock; %s" % (changed.group(1), remedy)
    if missing and broken:
        parts = [part.strip(" .") for part in re.split(r"['\"()\[\]<>]|: ", broken[-1])]
        reasons = [part for part in parts if " " in part and "=" not in part] or broken
        return "can't reach the package index: %s; check the network" % reasons[-1]
    if missing:
        remedy = "see " + str(VENV / "pip.log")
        if not unlocked:
            remedy = "%s --unlocked installs requirements.txt instead" % PROGRAM
        # Without retries (PIP_RETRIES=0), pip does not say that it reached no index.
        unknown = ", or is out of reach" if "(from versions: none)" in output else ""
        name = missing.group(1)
        return "the package index has no %s for this machine%s; %s" % (name, unknown, remedy)
    errors = re.findall(r"^ *(?:ERROR: )+(?!Exception:)(.+)", output, re.MULTILINE) or lines
    return "%s; see %s" % (errors[-1], VENV / "pip.log")


def find_missing(file: str, exact: bool) -> "list[str]":
    """Return the packages of a requirements file that .venv lacks.

    With `exact` the version counts too, and a package with a marker may be absent.
    """
    from importlib import metadata

    folders = [str(path) for path in VENV.glob("lib/python3*/site-packages")]
    pins = re.findall(r"^([\w.-]+)==([^\s;]+)( *;)?", (ROOT / file).read_text(), re.MULTILINE)
    missing = []
    for name, version, marker in pins:
        aliases = {name, name.replace("-binary", "")}  # psycopg2 may have been built from source
        found = [metadata.distributions(name=alias, path=folders) for alias in aliases]
        versions = [distribution.version for group in found for distribution in group]
        if version not in versions and not (marker if exact else versions):
            missing.append(name)
    return list(dict.fromkeys(missing))


def run(command: "list[str]") -> "tuple[int, list[str]]":
    """Run a program in the checkout; return its exit code and its output, of one line at least."""
    import subprocess

    process = subprocess.Popen(
        command,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        close_fds=False,  # so it keeps the lock on the checkout if this process is killed
        start_new_session=True,
    )
    try:
        output, _ = process.communicate()
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)  # the programs that pip runs, too
        process.wait()
        raise
    return process.returncode, output.split("\n")[:-1] or ["exit code %d" % process.returncode]


@contextmanager
def locked_folder() -> "Iterator[None]":
    """Lock the checkout, so that one start at a time changes .venv; print a line before waiting."""
    import fcntl

    descriptor = os.open(ROOT, os.O_RDONLY)
    try:
        os.set_inheritable(descriptor, True)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Waiting for another start to finish its install")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def say(text: str) -> None:
    print("tracker: %s ..." % text, file=sys.stderr, flush=True)


def fail(text: str, code: int = 1) -> "NoReturn":
    # A terminal would obey control characters, which an argument may have.
    shown = "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)
    print("error: %s" % shown, file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except KeyboardInterrupt:
        sys.exit(130)
