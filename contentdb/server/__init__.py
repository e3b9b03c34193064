"""A store served over gRPC as containerd's Content API: needs the extra ``contentdb[grpc]``.

::

    daemon.py      the gRPC server: where it listens, how it starts and stops
    guard.py       lets one server at a time listen on a unix socket's path
    service.py     the table of rpcs, and the steps common to every call
    parsing.py     parses requests
    health.py      gRPC's Health service
    reading.py     Info, List, Read, Status, ListStatuses
    openblobs.py   blobs kept open between consecutive reads of one client
    writing.py     Write, one ingest per stream
    changing.py    Update, Delete, Abort
    namespaces.py  one open store for each namespace in use
    limits.py      how many calls clients may have open, and which one is cancelled
    metrics.py     counts and times of calls, for Prometheus

The messages on the wire are in `contentdb.wire`.
"""

from importlib import import_module

from contentdb.errors import MissingExtraError

try:
    for _name in ("contentdb.wire", "google.protobuf", "grpc", "grpc_health"):
        import_module(_name)
except ImportError as error:
    raise MissingExtraError("contentdb.server", "grpc", error) from error
