"""A store served over gRPC as containerd serves it: needs the extra ``contentdb[grpc]``.

::

    daemon.py      the gRPC server: where it listens, how it starts and stops
    guard.py       lets one server at a time listen on a unix socket's path
    service.py     the steps common to every call
    rpcs.py        the table of rpcs
    context.py     what some rpcs need beside their store and request
    parsing.py     parses requests
    health.py      gRPC's Health service
    reading.py     Content: Info, List, Read, Status, ListStatuses
    openblobs.py   blobs kept open between consecutive reads of one client
    writing.py     Content: Write, one ingest per stream
    changing.py    Content: Update, Delete, Abort
    images.py      Images, which are the store's tags
    leases.py      Leases, which are the store's
    tagging.py     contentdb's own Tags, with compare and swap
    namespace_service.py  Namespaces
    introspection.py      Introspection, and Snapshots.Stat
    events.py      Events
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
