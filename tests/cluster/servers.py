"""PostgreSQL, PgBouncer and two S3 servers on loopback, each in a folder of its own.

A server dies with the process that started it, however that ends: the kernel signals it
(``setpriv --pdeathsig``). The kernel does so when the *thread* ends that started it, so servers are
started by the main thread only.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from tests.ports import free_ports

if TYPE_CHECKING:
    from collections.abc import Sequence

    from obstore.store import S3Store

__all__ = [
    "BUCKET",
    "CREDENTIALS",
    "PgBouncer",
    "Postgres",
    "Rclone",
    "S3Server",
    "SeaweedFS",
    "Server",
    "ServerError",
    "missing",
    "runs",
    "s3_client",
]

LIMIT_S: Final = 90.0
"""For a start; a busy machine needs ten seconds where a quiet one needs one."""
USER: Final = "contentdb"
BUCKET: Final = "contentdb"
CREDENTIALS: Final = {
    "AWS_ACCESS_KEY_ID": "contentdb-tests",
    "AWS_SECRET_ACCESS_KEY": "not-a-secret",
    "AWS_REGION": "us-east-1",
}
"""What an S3 client finds in its environment."""
_LOOPBACK: Final = "127.0.0.1"


class ServerError(Exception):
    """A server did not start; the message has the end of its log."""


def program(name: str) -> str | None:
    """Find a program beside this Python, where wheels put theirs, on PATH, or in Debian's places.

    Debian keeps PostgreSQL's server off the PATH, in a folder with the version.
    """
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda at: float(at.parent.name))
    places = [Path(sys.executable).parent, *reversed(debian), Path("/usr/sbin")]
    path = os.pathsep.join([*map(str, places), os.environ.get("PATH", os.defpath)])
    return shutil.which(name, path=path)


def missing(*servers: type[Server]) -> str:
    """Say what these servers lack on this machine; empty if they can be started."""
    needed = {name for server in servers for name in server.programs} | {"setpriv"}
    lacking = sorted(name for name in needed if program(name) is None)
    return f"needs {', '.join(lacking)}; .ci/run installs what tests need" if lacking else ""


class Server:
    """One server process. Started, killed and started again, it keeps its address and its data."""

    programs: ClassVar[tuple[str, ...]] = ()
    as_postgres: ClassVar[bool] = False
    """Whether it refuses to run as root."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        if self._drops_root():
            shutil.chown(folder, "postgres")
        self._process: subprocess.Popen[bytes] | None = None

    def command(self) -> Sequence[str]:
        """What to run."""
        raise NotImplementedError

    def answers(self) -> bool:
        """Whether it takes requests."""
        raise NotImplementedError

    def start(self) -> None:
        """Start it, and return once it answers.

        Raises:
            ServerError: It ended instead, or gave no answer.
        """
        self.launch()
        end = time.monotonic() + LIMIT_S
        while not self.answers():
            if self.pid is None or time.monotonic() > end:
                self.kill()
                raise ServerError(f"{self.programs[0]} does not answer:\n{self.log()[-3000:]}")
            time.sleep(0.02)

    def launch(self) -> None:
        """Start it without waiting for its answer."""
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("start servers in the main thread: they end with their thread")
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*self._wrapped("--pdeathsig=KILL"), *self.command()],
                cwd=self.folder,
                env={**os.environ, "HOME": str(self.folder), "TMPDIR": str(self.folder)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the tests
            )

    @property
    def pid(self) -> int | None:
        """Its process, if that runs."""
        running = self._process is not None and self._process.poll() is None
        return self._process.pid if running and self._process is not None else None

    def kill(self) -> None:
        """End it by SIGKILL, as a crash would; nothing happens if it is not running."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(LIMIT_S)

    def end(self) -> None:
        """End it for good; what it keeps outside of its folder goes."""
        self.kill()

    def restart(self) -> None:
        """Kill it and start it again."""
        self.kill()
        self.start()

    def log(self) -> str:
        """All that it has said so far."""
        return (self.folder / "log").read_text(errors="replace")

    def _drops_root(self) -> bool:
        return self.as_postgres and os.geteuid() == 0

    def _wrapped(self, *more: str) -> list[str]:
        """The start of a command that changes to the user postgres if need be."""
        user = ["--reuid=postgres", "--regid=postgres", "--clear-groups"]
        return ["setpriv", *(user if self._drops_root() else []), *more]


class Postgres(Server):
    """A PostgreSQL cluster of the tests' own, on a UNIX socket and on loopback.

    Args:
        folder: Does not exist yet; a short path, since the socket is in it.
        durable: With fsync. Without it a killed server still loses nothing, for the kernel has all
            that was written; a power cut would. ``synchronous_commit`` is on in both: without it
            acknowledged commits are in the server's memory only.
        addresses: Further addresses to listen on, those of network namespaces.
    """

    programs = ("postgres", "initdb")
    as_postgres = True

    def __init__(
        self, folder: Path, *, durable: bool = False, addresses: Sequence[str] = ()
    ) -> None:
        super().__init__(folder)
        self.port = free_ports(1)[0]
        self._durable = durable
        self._addresses = [_LOOPBACK, *addresses]
        self._databases = 0
        initdb = [str(program("initdb")), "-D", str(folder / "data"), "-U", USER, "-A", "trust"]
        more = ["--no-sync", "--no-instructions", "-E", "UTF8", "--locale=C"]
        subprocess.run(
            [*self._wrapped("--"), *initdb, *more], check=True, stdout=subprocess.DEVNULL
        )
        if addresses:
            with (folder / "data" / "pg_hba.conf").open("a") as file:
                file.writelines(f"host all all {address}/24 trust\n" for address in addresses)

    def command(self) -> Sequence[str]:
        settings = {
            "listen_addresses": ",".join(self._addresses),
            "unix_socket_directories": str(self.folder),
            "port": self.port,
            "max_connections": 200,
            "shared_buffers": "64MB",
            "dynamic_shared_memory_type": "mmap",  # in its folder: a kill leaves none in /dev/shm
            "max_wal_size": "512MB",
            "fsync": "on" if self._durable else "off",
            "full_page_writes": "on" if self._durable else "off",
        }
        options = [f"--{name}={value}" for name, value in settings.items()]
        return [str(program("postgres")), "-D", str(self.folder / "data"), *options]

    def answers(self) -> bool:
        import psycopg

        try:
            psycopg.connect(self.url(), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def kill(self) -> None:
        """End the server and all its backends by SIGKILL.

        Backends that outlive their server keep its shared memory, and a new one would not start.
        """
        children = [] if self.pid is None else _children(self.pid)
        super().kill()
        for child in children:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        _await_end(children)

    def end(self) -> None:
        """End it at once, but let it remove its shared memory, which a killed one would leave."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(LIMIT_S)

    def url(self, database: str = "postgres", *, host: str = _LOOPBACK) -> str:
        """The address of one database, over TCP."""
        return f"postgresql://{USER}@{host}:{self.port}/{database}"

    def socket_url(self, database: str = "postgres") -> str:
        """The same over the UNIX socket."""
        return f"postgresql://{USER}@/{database}?host={self.folder}&port={self.port}"

    def create_database(self) -> str:
        """Make a new, empty database and return its URL."""
        import psycopg

        self._databases += 1
        name = f"store_{self._databases}"
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return self.url(name)


class PgBouncer(Server):
    """A pooler in front of a PostgreSQL, by default of the kind that breaks session locks."""

    programs = ("pgbouncer",)
    as_postgres = True

    def __init__(self, folder: Path, postgres: Postgres, *, mode: str = "transaction") -> None:
        super().__init__(folder)
        self.port = free_ports(1)[0]
        (folder / "users").write_text(f'"{USER}" ""\n')
        (folder / "pgbouncer.ini").write_text(
            f"[databases]\n* = host={_LOOPBACK} port={postgres.port} user={USER}\n"
            f"[pgbouncer]\nlisten_addr={_LOOPBACK}\nlisten_port={self.port}\nunix_socket_dir=\n"
            f"auth_type=any\nauth_file={folder}/users\npool_mode={mode}\n"
            "max_client_conn=200\ndefault_pool_size=8\n"
            "ignore_startup_parameters=extra_float_digits,options\n"
        )

    def command(self) -> Sequence[str]:
        return [str(program("pgbouncer")), str(self.folder / "pgbouncer.ini")]

    def answers(self) -> bool:
        return _listens(self.port)

    def url(self, database: str) -> str:
        """The address of a database of the server behind it."""
        return f"postgresql://{USER}@{_LOOPBACK}:{self.port}/{database}"


class S3Server(Server):
    """What the two have in common: one bucket, and one key pair that may do all."""

    port: int

    @property
    def endpoint(self) -> str:
        """Where its clients send requests."""
        return f"http://{_LOOPBACK}:{self.port}"

    def client(self, prefix: str = "", **options: Any) -> S3Store:  # noqa: ANN401 - obstore's own
        """A client of the bucket that needs nothing of the environment."""
        return s3_client(self.endpoint, prefix, **options)

    def answers(self) -> bool:
        """Whether it takes an object; a server of several parts listens before all are ready.

        The object has a byte: an empty one needs no volume.
        """
        import obstore
        from obstore.exceptions import BaseError

        once = {"max_retries": 0, "retry_timeout": timedelta(seconds=5)}
        try:
            obstore.put(self.client(retry_config=once), "ready", b"1", use_multipart=False)
        except (BaseError, OSError):
            return False
        return True


def s3_client(endpoint: str, prefix: str = "", **options: Any) -> S3Store:  # noqa: ANN401
    """A client of the bucket at an endpoint: that of a server, or of a proxy before it."""
    from obstore.store import S3Store

    return S3Store(
        BUCKET,
        prefix=prefix or None,
        endpoint=endpoint,
        access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
        secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        region=CREDENTIALS["AWS_REGION"],
        client_options={"allow_http": True},
        virtual_hosted_style_request=False,
        **options,
    )


class SeaweedFS(S3Server):
    """SeaweedFS with its S3 gateway: checks checksums, knows conditions. It never syncs a file."""

    programs = ("weed",)

    def __init__(self, folder: Path, *, address: str = _LOOPBACK) -> None:
        super().__init__(folder)
        self._address = address
        self.port, self._filer, *self._others = free_ports(8)
        keys = {"accessKey": CREDENTIALS["AWS_ACCESS_KEY_ID"]}
        keys["secretKey"] = CREDENTIALS["AWS_SECRET_ACCESS_KEY"]
        admin = {"name": "admin", "credentials": [keys]}
        admin["actions"] = ["Admin", "Read", "List", "Tagging", "Write"]
        (folder / "s3.json").write_text(json.dumps({"identities": [admin]}))

    @property
    def endpoint(self) -> str:
        return f"http://{self._address}:{self.port}"

    def command(self) -> Sequence[str]:
        at = self.folder
        ports = ["master.port", "master.port.grpc", "volume.port", "volume.port.grpc"]
        ports += ["filer.port.grpc", "s3.port.grpc"]
        numbered = dict(zip(ports, self._others, strict=True))
        settings = {
            "ip": self._address, "ip.bind": self._address, "dir": at,
            **numbered, "filer.port": self._filer, "s3.port": self.port,
            "filer.localSocket": at / "filer.sock", "s3.localSocket": at / "s3.sock",
            "s3.config": at / "s3.json", "s3.port.iceberg": 0, "s3.port.lance": 0,
            "master.telemetry": "false", "master.electionTimeout": "1s",
            "master.volumeSizeLimitMB": 1024, "volume.max": 0, "volume.preStopSeconds": 0,
            "volume.minFreeSpace": "1GiB",
        }  # fmt: skip
        options = [f"-{name}={value}" for name, value in settings.items()]
        return [str(program("weed")), "-logtostderr=true", "server", "-filer", "-s3", *options]

    def kill(self) -> None:
        """End it; its sockets in /tmp, whose place cannot be chosen, would stay."""
        super().kill()
        for port in (self._filer, *self._others, self.port):
            for left in Path("/tmp").glob(f"seaweedfs-*-grpc-{port}.sock"):  # noqa: S108 - its own
                left.unlink(missing_ok=True)

    def answers(self) -> bool:
        """Make the bucket if it is not there, through the filer, which needs no signature."""
        place = f"http://{self._address}:{self._filer}/buckets/{BUCKET}/"
        made = urllib.request.Request(place, method="POST")
        return _status(made) in {200, 201, 409} and super().answers()


class Rclone(S3Server):
    """``rclone serve s3``: a plain folder, without conditions or checks of checksums."""

    programs = ("rclone",)

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.port = free_ports(1)[0]
        (folder / "data" / BUCKET).mkdir(parents=True)

    def command(self) -> Sequence[str]:
        keys = f"{CREDENTIALS['AWS_ACCESS_KEY_ID']},{CREDENTIALS['AWS_SECRET_ACCESS_KEY']}"
        return [
            str(program("rclone")), "serve", "s3", str(self.folder / "data"),
            "--addr", f"{_LOOPBACK}:{self.port}", "--auth-key", keys,
            "--config", str(self.folder / "config"), "--cache-dir", str(self.folder / "cache"),
        ]  # fmt: skip


def _children(pid: int) -> list[int]:
    """The processes that this one started."""
    children = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError, ValueError):
            stat = (entry / "stat").read_text()
            if int(stat.rpartition(")")[2].split()[1]) == pid:
                children.append(int(entry.name))
    return children


def _await_end(pids: Sequence[int]) -> None:
    """Wait for processes that are not our children; pids that others get meanwhile are rare."""
    end = time.monotonic() + LIMIT_S
    while any(runs(pid) for pid in pids) and time.monotonic() < end:
        time.sleep(0.005)


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _listens(port: int) -> bool:
    try:
        socket.create_connection((_LOOPBACK, port), timeout=2).close()
    except OSError:
        return False
    return True


def _status(request: urllib.request.Request) -> int | None:
    """The status of an answer; None without one."""
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310 - of our own server
            status: int = answer.status
            return status
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except OSError:
        return None
