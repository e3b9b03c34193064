"""Credentials that a token server did not see are spoken of, with the way to show them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from contentdb import oci
from tests.cli.shell import call, only_line
from tests.hostile.server import Image, Request, Server, reply

if TYPE_CHECKING:
    from pathlib import Path

IMAGE = Image()
USER = ("--user", "me:secret")


def script_of(server: Server, asked_without: int, then: int) -> None:
    """A registry whose token server has another name, as GitLab's has."""
    port = server.name.partition(":")[2]

    def script(request: Request) -> bytes:
        if request.path.startswith("/token"):
            if "authorization" in request.headers:
                return reply(200, b'{"token":"good"}')
            return reply(asked_without, b'{"token":"anonymous"}')
        said = request.headers.get("authorization", "")
        if said == "Bearer good":
            return IMAGE.answer(request)
        if said and then != 401:
            return reply(then, b'{"errors":[{"code":"DENIED"}]}')
        return reply(
            401, WWW_Authenticate=f'Bearer realm="http://localhost:{port}/token",service="s"'
        )

    server.script = script


@pytest.mark.parametrize(
    ("asked_without", "then"), [(401, 0), (403, 0), (200, 401), (200, 403), (200, 404)]
)
def test_the_sentence_names_who_did_not_see_them_and_the_option(
    asked_without: int, then: int, root: Path
) -> None:
    with Server(lambda _r: None) as server:
        script_of(server, asked_without, then)
        pull = ("pull", "--plain-http", "-q", f"{server.name}/a/b:v1")
        said = only_line(call(root, *pull, *USER).stderr)
        assert "localhost was not shown your credentials" in said
        assert "--trust-realm localhost" in said
        assert server.name in said
        assert "secret" not in said
        without = only_line(call(root, *pull).stderr)
        assert "--trust-realm" not in without, "there were none to show"
        assert call(root, *pull, *USER, "--trust-realm", "localhost").exit_code == 0


def test_a_name_of_a_host_cannot_fill_a_screen_or_be_run() -> None:
    evil = "$(reboot)" + "a" * 5000
    with (
        Server(lambda _r: None) as server,
        oci.Registry(
            server.name, plain_http=True, credentials=oci.Credentials("a", "b"), retries=0
        ) as registry,
    ):
        registry._session._authorizer.withheld = ""
        server.script = lambda _request: reply(
            401, WWW_Authenticate=f'Bearer realm="https://{evil}/token"'
        )
        with pytest.raises(oci.RegistryError):
            registry.manifest("a/b", "v1")
        withheld = registry._session._authorizer.withheld
    assert len(withheld) < 1000
    assert "--trust-realm '$(reboot)" in withheld
