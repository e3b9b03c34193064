"""Docker's configuration and helpers are read; no secret shows."""

import base64
import json
import os
from pathlib import Path

import pytest

from contentdb.cli.registry_files import find_user
from contentdb.oci import (
    Credentials,
    CredentialsError,
    Registry,
    RegistryError,
    RegistryToken,
    find_credentials,
)
from contentdb.oci.registry.auth import parse_challenges
from tests.hostile.server import Reply, Request, Server, reply


def write(folder: Path, **settings: object) -> Path:
    config = folder / "config.json"
    config.write_text(json.dumps(settings))
    return config


def helper(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    program = folder / "docker-credential-mine"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def auth(pair: str) -> dict[str, str]:
    return {"auth": base64.b64encode(pair.encode()).decode()}


def test_no_file_means_nobody(tmp_path: Path) -> None:
    assert find_credentials("host", tmp_path / "config.json") is None


@pytest.mark.parametrize("key", ["host.example:5000", "https://host.example:5000/v2/"])
def test_a_registry_is_found_by_host_and_by_url(key: str, tmp_path: Path) -> None:
    config = write(tmp_path, auths={key: auth("me:a:b"), "other": auth("x:y")})
    assert find_credentials("host.example:5000", config) == ("me", "a:b", "")
    assert find_credentials("third", config) is None


def test_the_default_registry_has_its_old_key(tmp_path: Path) -> None:
    config = write(tmp_path, auths={"https://index.docker.io/v1/": auth("me:pw")})
    assert find_credentials("docker.io", config) == ("me", "pw", "")


def test_an_identity_token_is_found(tmp_path: Path) -> None:
    config = write(tmp_path, auths={"host": {"identitytoken": "t"}})
    assert find_credentials("host", config) == ("", "", "t")


def test_the_registrys_own_helper_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    helper(
        tmp_path, monkeypatch, 'read key; echo "{\\"Username\\":\\"u\\",\\"Secret\\":\\"$key\\"}"'
    )
    config = write(tmp_path, credHelpers={"host": "mine"}, credsStore="absent")
    assert find_credentials("host", config) == ("u", "host", "")


def test_a_helper_that_knows_nothing_leaves_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    helper(tmp_path, monkeypatch, "echo credentials not found in native keychain; exit 1")
    config = write(tmp_path, credsStore="mine", auths={"host": auth("a:b")})
    assert find_credentials("host", config) == ("a", "b", "")


@pytest.mark.parametrize("script", ["echo SECRET; exit 1", "echo SECRET", 'echo "[\\"SECRET\\"]"'])
def test_a_broken_helper_is_told_without_what_it_said(
    script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    helper(tmp_path, monkeypatch, script)
    with pytest.raises(CredentialsError) as caught:
        find_credentials("host", write(tmp_path, credsStore="mine"))
    assert "docker-credential-mine" in str(caught.value)
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize("name", ["../evil", "a b", "a;b", "a/b"])
def test_a_helper_is_a_name_and_no_path(name: str, tmp_path: Path) -> None:
    with pytest.raises(CredentialsError, match="not the name"):
        find_credentials("host", write(tmp_path, credsStore=name))


def test_a_broken_file_is_told(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text("{")
    with pytest.raises(CredentialsError, match="not JSON"):
        find_credentials("host", config)


def test_credentials_do_not_show() -> None:
    shown = Credentials("user", "SECRET", "SECRET")
    assert "SECRET" not in f"{shown} {shown!r} {[shown]}"


def test_challenges_are_told_apart() -> None:
    headers = ['Bearer realm="https://h/t?a=\\"b\\"",service="s, t", Basic realm=x', "Negotiate"]
    assert parse_challenges(headers) == [
        ("bearer", {"realm": 'https://h/t?a="b"', "service": "s, t"}),
        ("basic", {"realm": "x"}),
        ("negotiate", {}),
    ]


def test_an_auth_entry_that_is_no_ascii_is_told(tmp_path: Path) -> None:
    with pytest.raises(CredentialsError):
        find_credentials("example.com", write(tmp_path, auths={"example.com": {"auth": "é"}}))


def test_what_was_typed_is_sent_and_other_nonsense_told() -> None:
    typed = Credentials("user", os.fsdecode(b"\xff"))
    assert base64.b64decode(typed.basic.removeprefix("Basic ")) == b"user:\xff"
    with pytest.raises(CredentialsError):
        _ = Credentials("user", "\ud800").basic


ANSWERS = 'read key; echo "{\\"Username\\":\\"u\\",\\"Secret\\":\\"$key\\"}"'


@pytest.mark.parametrize(
    ("repository", "user"),
    [
        ("team/sub/app", "sub"),
        ("team/subway", "team"),
        ("team", "team"),
        ("other", "all"),
        ("v1", "all"),
        (None, "all"),
    ],
)
def test_the_longest_key_of_a_name_decides(
    repository: str | None, user: str, tmp_path: Path
) -> None:
    keys = {"quay.io/team/sub/": "sub", "quay.io": "all", "quay.io/team": "team"}
    config = write(tmp_path, auths={key: auth(f"{name}:pw") for key, name in keys.items()})
    found = find_credentials("quay.io", config, repository=repository)
    assert found is not None
    assert found.username == user


def test_a_key_with_a_path_is_for_that_path_alone(tmp_path: Path) -> None:
    config = write(tmp_path, auths={"quay.io/team": auth("a:b")})
    assert find_credentials("quay.io", config, repository="other/app") is None
    assert find_credentials("quay.io", config) is None


@pytest.mark.parametrize("key", ["https://h.x/v1/", "http://h.x", "https://h.x/a/path", "h.x/v2/"])
def test_a_key_that_is_a_url_names_a_host(key: str, tmp_path: Path) -> None:
    config = write(tmp_path, auths={key: auth("a:b")})
    assert find_credentials("h.x", config, repository="team/app") == ("a", "b", "")


def test_the_exact_key_decides_though_it_is_empty(tmp_path: Path) -> None:
    config = write(tmp_path, auths={"https://h.x/v1/": auth("old:1"), "h.x": {}})
    assert find_credentials("h.x", config) is None


@pytest.mark.parametrize("registry", ["docker.io", "registry-1.docker.io"])
@pytest.mark.parametrize(
    "key", ["docker.io", "index.docker.io", "registry-1.docker.io", "https://index.docker.io/v1/"]
)
def test_docker_hub_has_one_account_by_many_names(
    key: str, registry: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = write(tmp_path, auths={key: auth("a:b")})
    assert find_credentials(registry, config, repository="library/app") == ("a", "b", "")
    helper(tmp_path, monkeypatch, ANSWERS)
    config = write(tmp_path, credHelpers={key: "mine"}, credsStore="absent")
    assert find_credentials(registry, config) == ("u", "https://index.docker.io/v1/", "")


def test_an_empty_helper_of_its_own_means_the_file(tmp_path: Path) -> None:
    config = write(tmp_path, credHelpers={"h": ""}, credsStore="absent", auths={"h": auth("a:b")})
    assert find_credentials("h", config) == ("a", "b", "")


def test_a_helper_that_answers_nobody_is_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    helper(tmp_path, monkeypatch, 'echo "{\\"Username\\":\\"\\",\\"Secret\\":\\"\\"}"')
    assert find_credentials("h", write(tmp_path, credsStore="mine")) is None


@pytest.mark.parametrize(
    ("entry", "found"),
    [
        (auth(":"), None),
        ({"auth": ""}, None),
        ({"auth": auth("a:b")["auth"] + "\n"}, ("a", "b", "")),
        ({"auth": auth("a:bc")["auth"].rstrip("=")}, ("a", "bc", "")),
        ({"auth": "", "username": "a", "password": "b"}, ("a", "b", "")),
        ({**auth("a:"), "identitytoken": "t"}, ("a", "", "t")),
    ],
)
def test_an_entry_is_read_as_it_is_written(
    entry: dict[str, str], found: tuple[str, ...] | None, tmp_path: Path
) -> None:
    assert find_credentials("h", write(tmp_path, auths={"h": entry})) == found


@pytest.mark.parametrize("text", ["", " \n", "{}", "[]"])
def test_an_empty_file_has_nobody(text: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(text)
    assert find_credentials("h", tmp_path / "config.json") is None


def test_a_registrytoken_goes_to_the_registry_as_it_is(tmp_path: Path) -> None:
    config = write(tmp_path, auths={"h": {"registrytoken": "SECRET", **auth("a:b")}})
    found = find_credentials("h", config)
    assert isinstance(found, RegistryToken)
    assert (found.bearer, found.basic) == ("Bearer SECRET", "")
    assert "SECRET" not in repr(found)
    with pytest.raises(CredentialsError) as caught:
        find_credentials("h", write(tmp_path, auths={"h": {"registrytoken": "SEC RET"}}))
    assert "SEC" not in str(caught.value)


def told(credentials: Credentials | None, challenge: str) -> list[str | None]:
    """The Authorization headers of a request for a manifest, and of the token server's."""
    seen: list[str | None] = []

    def script(request: Request) -> Reply:
        seen.append(request.headers.get("authorization"))
        if request.path.startswith("/token"):
            return reply(200, b'{"token":"T"}')
        if len(seen) == 1:
            return reply(401, WWW_Authenticate=challenge.format(server.name))
        return reply(404)

    with (
        Server(script) as server,
        Registry(server.name, plain_http=True, credentials=credentials) as registry,
        pytest.raises(RegistryError),
    ):
        registry.manifest("a/b", "v1")
    return seen


BEARER = 'Bearer realm="http://{}/token"'


def test_what_is_empty_is_never_sent() -> None:
    assert told(Credentials("", ""), BEARER) == [None, None, "Bearer T"]
    assert told(Credentials("", ""), 'Basic realm="x"') == [None]
    assert told(Credentials("", "", "t"), 'Basic realm="x"') == [None]


def test_no_token_server_sees_a_registrytoken() -> None:
    for challenge in (BEARER, 'Basic realm="x"'):
        assert told(RegistryToken("", "R"), challenge) == [None, "Bearer R"]


# -- the files of other tools ------------------------------------------------------------------


def test_the_files_are_read_in_podmans_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, run, conf = (tmp_path / name for name in ("home", "run", "conf"))
    files = {
        "named": tmp_path / "named.json",
        "docker": tmp_path / "docker" / "config.json",
        "run": run / "containers" / "auth.json",
        "conf": conf / "containers" / "auth.json",
        "home": home / ".docker" / "config.json",
    }
    for name, file in files.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({"auths": {"h/team": auth(f"{name}:pw")}}))
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(run))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(conf))

    def user(authfile: Path | None = None, docker_config: Path | None = None) -> str | None:
        found = find_user("h", "team/app", authfile=authfile, docker_config=docker_config)
        return None if found is None else found.username

    assert user(docker_config=tmp_path / "docker") == "docker"
    assert user(authfile=files["named"], docker_config=tmp_path / "docker") == "named"
    files["named"].write_text("{}")
    assert user(authfile=files["named"]) is None
    for name in ("run", "conf", "home"):
        assert user() == name
        files[name].unlink()
    assert user() is None
