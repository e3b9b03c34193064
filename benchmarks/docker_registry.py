"""docker-registry on loopback: `benchmarks.oci` pulls from it, `benchmarks.cluster` compares."""

from __future__ import annotations

import json
import os
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import urllib3

from tests.ports import free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

__all__ = ["running_registry"]


@contextmanager
def running_registry(folder: Path, storage: Mapping[str, object] | None = None) -> Iterator[str]:
    """Run it on a free port until the block ends; yield ``host:port``.

    The folder gets its configuration and its log, and its content unless ``storage`` says where
    that is.
    """
    host = f"127.0.0.1:{free_ports(1)[0]}"
    config = folder / "registry.yml"
    settings = {
        "version": "0.1",
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": storage or {"filesystem": {"rootdirectory": str(folder / "data")}},
        "http": {"addr": host, "secret": "abc"},
    }
    config.write_text(json.dumps(settings), encoding="utf-8")  # which is YAML, too
    command = ["docker-registry", "serve", str(config)]
    environment = {name: value for name, value in os.environ.items() if name != "AWS_CA_BUNDLE"}
    with (
        (folder / "registry.log").open("wb") as log,
        subprocess.Popen(command, stdout=log, stderr=log, env=environment) as server,
    ):
        try:
            retries = urllib3.Retry(total=100, backoff_factor=0.01, backoff_max=0.1)
            with urllib3.PoolManager() as pool:
                pool.request("GET", f"http://{host}/v2/", retries=retries)
            yield host
        finally:
            server.terminate()
