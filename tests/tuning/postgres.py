"""A real PostgreSQL server on loopback, for tests: made in a folder, started, stopped."""

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

USERS = ("postgres", "nobody")
"""The server refuses to run as root; then it runs as one of these."""


def binaries() -> Path | None:
    """The folder of the newest server that is installed: from Debian's packages, or on the path."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    initdb = shutil.which("initdb")
    return Path(initdb).resolve().parent if initdb else None


@contextlib.contextmanager
def server():
    """Starts a server.

    Yields:
        A function of a name, which makes a database and gives its URL.
    """
    found = binaries()
    folder = Path(tempfile.mkdtemp(prefix="keras_blocks_postgres_"))
    before = _as_another(folder) if os.geteuid() == 0 else []
    data, port = folder / "data", _free_port()

    def run(name, *arguments):
        subprocess.run([*before, found / name, *map(str, arguments)], check=True, capture_output=True, cwd=folder)

    try:
        run("initdb", "-D", data, "-U", "tester", "--auth=trust", "--no-sync")
        options = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={folder} -c fsync=off"
        run("pg_ctl", "-D", data, "-w", "-l", folder / "log", "-o", options, "start")
        try:

            def database(name):
                run("createdb", "-h", "127.0.0.1", "-p", port, "-U", "tester", name)
                return f"postgresql://tester@127.0.0.1:{port}/{name}"

            yield database
        finally:
            run("pg_ctl", "-D", data, "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _as_another(folder) -> list:
    """What a command is preceded by to run as a user that owns the folder."""
    import pwd

    for name in USERS:
        with contextlib.suppress(KeyError):
            user = pwd.getpwnam(name)
            os.chown(folder, user.pw_uid, user.pw_gid)
            return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", "--"]
    raise RuntimeError(f"PostgreSQL does not run as root, and none of the users {USERS} is here")


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]
