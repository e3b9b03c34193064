"""Images and artifacts between registries, image layouts and the store (extra ``contentdb[oci]``).

    from contentdb import oci
    pulled = oci.pull(store, "registry.example/team/app:v1")

Everything that comes from a registry or a layout is taken for hostile until its digest has
been checked; `contentdb.oci.registry` says how.
"""

from importlib import import_module

from contentdb.errors import MissingExtraError

try:
    import_module("urllib3")
except ImportError as error:
    raise MissingExtraError("contentdb.oci", "oci", error) from error

from contentdb.oci.credentials import Credentials, CredentialsError, find_credentials
from contentdb.oci.download import blob_chunks
from contentdb.oci.errors import (
    HostileRegistryError,
    InvalidManifestError,
    InvalidReferenceError,
    ObjectNotFoundError,
    RegistryError,
    TooSlowError,
    UnauthorizedError,
    UnreachableError,
)
from contentdb.oci.layout_in import Imported, import_layout
from contentdb.oci.layout_out import export_layout, export_tar
from contentdb.oci.manifest import Descriptor, Document, parse_document
from contentdb.oci.platforms import Platform
from contentdb.oci.progress import Event
from contentdb.oci.pull import Pulled, pull
from contentdb.oci.push import Pushed, push
from contentdb.oci.reference import Reference, parse_reference, parse_repository
from contentdb.oci.registry import BlobStream, Registry, Served

__all__ = [
    "BlobStream",
    "Credentials",
    "CredentialsError",
    "Descriptor",
    "Document",
    "Event",
    "HostileRegistryError",
    "Imported",
    "InvalidManifestError",
    "InvalidReferenceError",
    "ObjectNotFoundError",
    "Platform",
    "Pulled",
    "Pushed",
    "Reference",
    "Registry",
    "RegistryError",
    "Served",
    "TooSlowError",
    "UnauthorizedError",
    "UnreachableError",
    "blob_chunks",
    "export_layout",
    "export_tar",
    "find_credentials",
    "import_layout",
    "parse_document",
    "parse_reference",
    "parse_repository",
    "pull",
    "push",
]
