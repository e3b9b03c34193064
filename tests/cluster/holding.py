"""A process that holds a ref, to be killed. Arguments: the store, the ref, bytes to write."""

from __future__ import annotations

import sys
import time

import contentdb


def main() -> None:
    url, ref, size = sys.argv[1:]
    store = contentdb.open(url)
    writer = store.writer(ref, resume=True)
    writer.write(b"x" * int(size))
    print(writer.offset, flush=True)  # noqa: T201 - the test waits for it
    time.sleep(3600)


main()
