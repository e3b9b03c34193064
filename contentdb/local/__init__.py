"""The local engine: blobs in files, an SQLite index beside them, refs locked by `flock`."""
