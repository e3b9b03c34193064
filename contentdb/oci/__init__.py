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
    IncompleteIndexError,
    IncompleteLayoutError,
    InvalidLayoutError,
    InvalidManifestError,
    InvalidReferenceError,
    ObjectNotFoundError,
    RegistryError,
    TooSlowError,
    UnauthorizedError,
    UnreachableError,
    UploadBrokenError,
)
from contentdb.oci.layout.read import Imported, import_layout
from contentdb.oci.layout.write import export_layout
from contentdb.oci.layout.write_tar import export_tar
from contentdb.oci.reference import Reference, parse_reference, parse_repository
from contentdb.oci.registry.credentials import (
    Credentials,
    CredentialsError,
    RegistryToken,
    find_credentials,
)
from contentdb.oci.registry.endpoint import Endpoint, Endpoints
from contentdb.oci.registry.hosts_toml import find_hosts
from contentdb.oci.registry.mirrors import MirroredRegistry, open_registry
from contentdb.oci.registry.proxy import Proxies, proxies_of
from contentdb.oci.registry.publish import Published
from contentdb.oci.registry.registries_conf import find_locations
from contentdb.oci.registry.registry import BlobStream, Registry, Served
from contentdb.oci.registry.toml_file import RegistryConfigError
from contentdb.oci.registry.upload import Upload
from contentdb.oci.transfer.download import blob_chunks
from contentdb.oci.transfer.progress import Event
from contentdb.oci.transfer.pull import Pulled, pull
from contentdb.oci.transfer.push import Pushed, push
from contentdb.oci.transfer.relay import Copied, copy
from contentdb.oci.transfer.resolve import Chosen

__all__ = [
    "BlobStream",
    "Chosen",
    "Copied",
    "Credentials",
    "CredentialsError",
    "Descriptor",
    "Document",
    "Endpoint",
    "Endpoints",
    "Event",
    "HostileRegistryError",
    "Imported",
    "IncompleteIndexError",
    "IncompleteLayoutError",
    "InvalidLayoutError",
    "InvalidManifestError",
    "InvalidReferenceError",
    "MirroredRegistry",
    "ObjectNotFoundError",
    "Platform",
    "Proxies",
    "Published",
    "Pulled",
    "Pushed",
    "Reference",
    "Registry",
    "RegistryConfigError",
    "RegistryError",
    "RegistryToken",
    "Served",
    "TooSlowError",
    "UnauthorizedError",
    "UnreachableError",
    "Upload",
    "UploadBrokenError",
    "blob_chunks",
    "copy",
    "export_layout",
    "export_tar",
    "find_credentials",
    "find_hosts",
    "find_locations",
    "import_layout",
    "open_registry",
    "parse_document",
    "parse_reference",
    "parse_repository",
    "proxies_of",
    "pull",
    "push",
]
