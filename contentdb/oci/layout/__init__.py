"""OCI image layouts, as directories and as tars: read and written."""
