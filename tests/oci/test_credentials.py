"""Docker's configuration and helpers are read; no secret shows."""

import base64
import json
import os
from pathlib import Path

import pytest

from contentdb.oci import Credentials, CredentialsError, find_credentials
from contentdb.oci.registry.auth import parse_challenges


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
