"""A real PostgreSQL, private to one test process: its own data folder, a free port of the loopback, nothing kept."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Generator
from pathlib import Path

from tests.fakes.tls import Certificate

USER = "counterpoint"
STARTS_S = 60.0
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "off",  # what is tested is the death of processes; the machine stays up
    "full_page_writes": "off",
    "shared_buffers": "32MB",
    "max_connections": "200",
    "max_wal_senders": "0",
    "wal_level": "minimal",
    "autovacuum": "off",
    "log_min_messages": "fatal",
    "restart_after_crash": "off",
}


def programs() -> Path | None:
    """Where the server's programs are; None: it is not installed."""
    on_path = shutil.which("initdb")
    if on_path:
        return Path(on_path).resolve().parent
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1].parent if found else None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Postgres:
    """A server. It refuses to run as root, so there it runs as the user that Debian's package makes."""

    def __init__(self, bin: Path, folder: Path) -> None:
        self._bin = bin
        self.data = folder / "data"
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.databases = 0
        self._as_user = "postgres" if os.getuid() == 0 else None
        if self._as_user is not None:
            account = pwd.getpwnam(self._as_user)
            os.chown(folder, account.pw_uid, account.pw_gid)
        subprocess.run(
            [bin / "initdb", "-D", self.data, "-U", USER, "--auth=trust", "--no-sync", "-E", "UTF8", "--locale=C"],
            check=True, capture_output=True, user=self._as_user, cwd="/",
        )  # fmt: skip
        with (self.data / "postgresql.auto.conf").open("a") as conf:
            conf.writelines(f"{name} = '{value}'\n" for name, value in SETTINGS.items())

    def start(self) -> None:
        """Returns when it takes connections. What a killed one has left keeps the next from starting for a moment."""
        command = [self._bin / "postgres", "-D", self.data, "-p", str(self.port)]
        ready = [self._bin / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port), "-t", "1"]
        give_up_at = time.monotonic() + STARTS_S
        while self._process is None or subprocess.run(ready, check=False).returncode != 0:
            if self._process is None or self._process.poll() is not None:
                assert time.monotonic() < give_up_at, "postgres does not start"
                self._process = subprocess.Popen(
                    command, user=self._as_user, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL, start_new_session=True,
                )  # fmt: skip

    def kill(self) -> None:
        """SIGKILL to the server and all that serve connections."""
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, 9)
        self._process.wait()
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)  # waits for nobody
            self._process.wait(30)

    def sql(self, statement: str, database: str = "postgres") -> str:
        asked = subprocess.run(
            [self._bin / "psql", "-XAtq", "-h", "127.0.0.1", "-p", str(self.port), "-U", USER, "-d", database, "-c",
             statement],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        return asked.stdout.strip()

    @contextlib.contextmanager
    def with_tls(self, shown: Certificate) -> Generator[None]:
        """It takes TLS as well, for the length of the block."""
        for source, name in ((shown.chain, "tls.pem"), (shown.key, "tls.key")):
            copy = self.data / name
            copy.write_bytes(source.read_bytes())
            copy.chmod(0o600)
            if self._as_user is not None:
                shutil.chown(copy, self._as_user)
        self.sql(f"ALTER SYSTEM SET ssl_cert_file = '{self.data}/tls.pem'")
        self.sql(f"ALTER SYSTEM SET ssl_key_file = '{self.data}/tls.key'")
        self._switch_tls("on")
        try:
            yield
        finally:
            self._switch_tls("off")

    def _switch_tls(self, value: str) -> None:
        self.sql(f"ALTER SYSTEM SET ssl = {value}")
        self.sql("SELECT pg_reload_conf()")
        while self.sql("SHOW ssl") != value:
            pass

    def new_database(self) -> str:
        """The address of an empty database."""
        self.databases += 1
        name = f"t{self.databases}"
        self.sql(f"CREATE DATABASE {name}")
        return f"postgresql://{USER}:secret-word@127.0.0.1:{self.port}/{name}"


@contextlib.contextmanager
def running() -> Generator[Postgres]:
    """A server in a folder of its own: pytest closes its own folders to other users."""
    bin = programs()
    assert bin is not None
    with tempfile.TemporaryDirectory(prefix="counterpoint-postgres-") as folder:
        server = Postgres(bin, Path(folder))
        try:
            server.start()
            yield server
        finally:
            server.stop()
