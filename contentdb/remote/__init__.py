"""A store behind a socket: contentdb's own server, or a containerd daemon.

`contentdb.connect` puts the front over it. Importing it needs the extra ``contentdb[grpc]``, so
contentdb imports it only on the first `connect`.
"""

from importlib import import_module

from contentdb.errors import MissingExtraError

try:
    for _name in ("contentdb.wire", "google.protobuf", "grpc"):
        import_module(_name)
except ImportError as error:
    raise MissingExtraError("contentdb.connect", "grpc", error) from error

from contentdb.remote.engine import RemoteEngine

__all__ = ["RemoteEngine"]
