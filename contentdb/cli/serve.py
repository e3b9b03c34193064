"""``contentdb serve``: serve the store to containerd's clients over gRPC."""

from __future__ import annotations

import logging
import os
import signal
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import click

from contentdb.cli.session import any_root_of, cache_of
from contentdb.cli.show import escape

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contentdb.server.daemon import Server, Tls
    from contentdb.server.metrics import Metrics
    from contentdb.wire.addresses import Address

__all__ = ["serve"]

_log = logging.getLogger("contentdb.server")

_STOP: Final = (signal.SIGINT, signal.SIGTERM)
_EXPERIMENTS: Final = "-event_engine_listener,tcp_frame_size_tuning"
"""Without the event engine's listener, which passes each event between threads, a call takes a
tenth less. With the frame size tuning gRPC reads a frame once it is complete, not piece by piece:
eight ingests at once take a quarter less time.
"""
_COUNT = click.IntRange(1)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command(short_help="Serve the store over gRPC, as containerd's Content API.")
@click.option(
    "--socket", type=click.Path(path_type=Path), help="Listen on a unix socket at this path."
)
@click.option("--listen", metavar="HOST:PORT", help="Listen on TCP too, with mutual TLS.")
@click.option("--tls-key", type=_FILE, help="The server's private key, PEM.")
@click.option("--tls-cert", type=_FILE, help="The server's certificate, PEM.")
@click.option("--tls-client-ca", type=_FILE, help="The CA of the clients' certificates, PEM.")
@click.option(
    "--default-namespace",
    metavar="NAME",
    help="For calls that name none, as containerd's do when this server is its content plugin.",
)
@click.option("--read-only", is_flag=True, help="Refuse every call that would change something.")
@click.option(
    "--sharing",
    type=click.Choice(["shared", "isolated"]),
    default="shared",
    show_default=True,
    help="With shared, a client need not send content that another namespace has.",
)
@click.option(
    "--max-calls",
    type=_COUNT,
    default=256,
    show_default=True,
    help="Calls at once, of all clients.",
)
@click.option(
    "--max-client-calls",
    type=_COUNT,
    default=128,
    show_default=True,
    help="Calls at once, of one host over TCP.",
)
@click.option(
    "--max-client-ingests",
    type=_COUNT,
    default=64,
    show_default=True,
    help="Ingests at once, of one host over TCP.",
)
@click.option(
    "--grace", type=click.FloatRange(0), default=10.0, help="Seconds for calls to end at the stop."
)
@click.option("--metrics", metavar="HOST:PORT", help="Answer Prometheus here, without TLS.")
@click.option(
    "--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info"
)
@click.option("--log-json", is_flag=True, help="Log one JSON object a line.")
@click.pass_context
def serve(  # noqa: PLR0917 - click passes every option by name
    context: click.Context,
    socket: Path | None,
    listen: str | None,
    tls_key: Path | None,
    tls_cert: Path | None,
    tls_client_ca: Path | None,
    default_namespace: str | None,
    read_only: bool,
    sharing: Literal["shared", "isolated"],
    max_calls: int,
    max_client_calls: int,
    max_client_ingests: int,
    grace: float,
    metrics: str | None,
    log_level: str,
    log_json: bool,
) -> None:
    """Serve the store over gRPC, as containerd's Content API, until SIGINT or SIGTERM.

    Ingests that the stop interrupts are kept and can be resumed.
    """
    if socket is None and listen is None:
        raise click.UsageError("give --socket PATH, --listen HOST:PORT, or both")
    os.environ.setdefault("GRPC_EXPERIMENTS", _EXPERIMENTS)
    from contentdb.cli.logs import log_to_stderr
    from contentdb.server import daemon
    from contentdb.server.guard import SocketError
    from contentdb.server.limits import Limits

    tls = None if listen is None else _tls(listen, tls_key, tls_cert, tls_client_ca)
    log_to_stderr(level=log_level, as_json=log_json)
    server = daemon.Server(
        any_root_of(context),
        default_namespace=default_namespace,
        read_only=read_only,
        sharing=sharing,
        limits=Limits(
            calls=max_calls, client_calls=max_client_calls, client_ingests=max_client_ingests
        ),
        metrics=None if metrics is None else _metrics(metrics),
        cache=cache_of(context),
    )
    try:
        _run(server, list(_listening(server, socket, listen, tls)))
    except (daemon.ListenError, SocketError) as error:
        raise click.ClickException(str(error)) from error
    finally:
        _stop(server, grace)


def _stop(server: Server, grace_s: float) -> None:
    if not server.stop(grace_s=grace_s):
        _log.error("a call could not be ended in time: the process ends without it")
        os._exit(1)  # a normal exit would wait for that call's thread


def _tls(listen: str, *files: Path | None) -> Tls:
    from contentdb.server.daemon import Tls

    made = Tls(*_tls_files(*files))
    _address("--listen", listen)
    return made


def _tls_files(*files: Path | None) -> Iterator[Path]:
    for file in files:
        if file is None:
            raise click.UsageError(
                "--listen takes --tls-key, --tls-cert and --tls-client-ca: "
                "over TCP both sides show certificates"
            )
        yield file


def _listening(
    server: Server, socket: Path | None, listen: str | None, tls: Tls | None
) -> Iterator[str]:
    """Listen on each address, and yield it with the port that the system chose."""
    if socket is not None:
        server.listen_unix(socket)
        yield escape(str(socket))
    if listen is not None and tls is not None:
        port = server.listen_tls(listen, tls)
        yield escape(f"{listen.rpartition(':')[0]}:{port}")


def _address(option: str, text: str) -> Address:
    from contentdb.wire.addresses import Address

    try:
        return Address.parse(text)
    except ValueError as error:
        raise click.UsageError(f"{option} takes HOST:PORT, not {text}: {error}") from error


def _metrics(text: str) -> Metrics:
    from contentdb.server.metrics import serve_metrics

    address = _address("--metrics", text)
    try:
        return serve_metrics(address.host, address.port)
    except OSError as error:
        raise click.ClickException(f"cannot listen on {text}: {error.strerror or error}") from error


def _run(server: Server, places: list[str]) -> None:
    """Serve until SIGINT or SIGTERM; a second one ends the process at once."""
    with _signals() as asked:
        server.start()
        click.echo(f"serving on {' and '.join(places)}", err=True)
        while os.read(asked, 1)[0] not in _STOP:
            pass


@contextmanager
def _signals() -> Iterator[int]:
    """Yield the reading end of a pipe that gets the number of each signal.

    An `Event` that a handler sets is not enough: Python runs handlers in the main thread, which
    stays asleep if one of gRPC's threads got the signal, or if it came just before the sleep.
    """
    asked, telling = os.pipe()
    os.set_blocking(telling, False)
    before = signal.set_wakeup_fd(telling)
    for number in _STOP:
        signal.signal(number, lambda *_: None)
    try:
        yield asked
    finally:
        for number in _STOP:
            signal.signal(number, signal.SIG_DFL)
        signal.set_wakeup_fd(before)
        os.close(asked)
        os.close(telling)
