"""A store behind a socket: contentdb's own server, or a containerd daemon.

`connect` gives a `RemoteStore` that plays the same roles as `contentdb.Store`. It needs the
extra ``contentdb[grpc]``, and is loaded only when it is asked for.
"""

from importlib import import_module

from contentdb.errors import MissingExtraError

try:
    for _name in ("contentdb.wire", "google.protobuf", "grpc"):
        import_module(_name)
except ImportError as error:
    raise MissingExtraError("contentdb.connect", "grpc", error) from error

from contentdb.remote.store import RemoteStore, connect

__all__ = ["RemoteStore", "connect"]
