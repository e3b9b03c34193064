"""A store served over gRPC as containerd's Content API: needs the extra ``contentdb[grpc]``.

::

    daemon.py      the gRPC server: where it listens, how it starts and stops
    guard.py       who may hold a unix socket's path
    service.py     the table of rpcs, and what every call goes through
    parsing.py     requests out of bytes
    health.py      gRPC's Health service
    reading.py     Info, List, Read, Status, ListStatuses
    openblobs.py   blobs that stay open between the calls of one client's reading
    writing.py     Write, one ingest a stream
    changing.py    Update, Delete, Abort
    namespaces.py  one store handle for each namespace in use
    limits.py      how much clients may have open, and which call gives way
    metrics.py     counts and times for Prometheus

What goes over the wire is in `contentdb.wire`.
"""

from importlib import import_module

from contentdb.errors import MissingExtraError

try:
    for _name in ("contentdb.wire", "google.protobuf", "grpc", "grpc_health"):
        import_module(_name)
except ImportError as error:
    raise MissingExtraError("contentdb.server", "grpc", error) from error
