"""An ingest: it begins or is resumed, takes bytes in, and is committed, suspended or discarded."""
