"""Copies images and artifacts between registries, layouts and the store (``contentdb[oci]``).

    from contentdb import oci
    pulled = oci.pull(store, "registry.example/team/app:v1")

contentdb treats everything from a registry or a layout as hostile until it has checked its
digest; see `contentdb.oci.registry.registry`.
"""

from importlib import import_module

from contentdb.errors import MissingExtraError

try:
    import_module("urllib3")
except ImportError as error:
    raise MissingExtraError("contentdb.oci", "oci", error) from error

from contentdb.oci.documents.manifest import Descriptor, Document, parse_document
from contentdb.oci.documents.platforms import Platform
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
from contentdb.oci.layout.read import Imported, import_layout
from contentdb.oci.layout.write import export_layout, export_tar
from contentdb.oci.reference import Reference, parse_reference, parse_repository
from contentdb.oci.registry.credentials import Credentials, CredentialsError, find_credentials
from contentdb.oci.registry.registry import BlobStream, Registry, Served
from contentdb.oci.transfer.download import blob_chunks
from contentdb.oci.transfer.progress import Event
from contentdb.oci.transfer.pull import Pulled, pull
from contentdb.oci.transfer.push import Pushed, push

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
