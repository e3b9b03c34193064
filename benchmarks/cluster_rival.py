"""docker-registry with its S3 driver, on the S3 server that the other contestants use."""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import urllib3

from tests.cluster.servers import BUCKET, CREDENTIALS
from tests.ports import free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.cluster.servers import SeaweedFS

_CONFIG = """\
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage:
  s3:
    accesskey: {key}
    secretkey: {secret}
    region: {region}
    regionendpoint: {endpoint}
    bucket: {bucket}
    rootdirectory: /registry
    secure: false
    v4auth: true
  redirect: {{disable: true}}
http: {{addr: "{host}", secret: abc}}
"""


@contextmanager
def docker_registry(folder: Path, s3: SeaweedFS) -> Iterator[str]:
    """Run it until the block ends; gives ``host:port``."""
    folder.mkdir()
    host = f"127.0.0.1:{free_ports(1)[0]}"
    config = folder / "config.yml"
    text = _CONFIG.format(
        key=CREDENTIALS["AWS_ACCESS_KEY_ID"],
        secret=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        region=CREDENTIALS["AWS_REGION"],
        endpoint=s3.endpoint,
        bucket=BUCKET,
        host=host,
    )
    config.write_text(text)
    environment = {name: value for name, value in os.environ.items() if name != "AWS_CA_BUNDLE"}
    with (folder / "log").open("wb") as log:
        command = ["docker-registry", "serve", str(config)]
        server = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
    try:
        retries = urllib3.Retry(total=100, backoff_factor=0.01, backoff_max=0.1)
        with urllib3.PoolManager() as pool:
            pool.request("GET", f"http://{host}/v2/", retries=retries)
        yield host
    finally:
        server.terminate()
        server.wait()
