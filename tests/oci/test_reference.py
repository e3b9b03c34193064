"""References are read as Docker and containerd read them."""

import pytest

from contentdb.oci import InvalidReferenceError, parse_reference, parse_repository

HEX = "0123456789abcdef" * 4
SHA256 = f"sha256:{HEX}"
SHA512 = f"sha512:{HEX}{HEX}"


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("busybox", "docker.io/library/busybox:latest"),
        ("busybox:1.36", "docker.io/library/busybox:1.36"),
        (f"busybox@{SHA256}", f"docker.io/library/busybox@{SHA256}"),
        (f"busybox:1@{SHA256}", f"docker.io/library/busybox:1@{SHA256}"),
        (f"busybox@{SHA512}", f"docker.io/library/busybox@{SHA512}"),
        ("team/app", "docker.io/team/app:latest"),
        ("docker.io/app", "docker.io/library/app:latest"),
        ("index.docker.io/app", "docker.io/library/app:latest"),
        ("localhost/app", "localhost/app:latest"),
        ("localhost:5000/app:v1", "localhost:5000/app:v1"),
        ("127.0.0.1:5000/a/b/c:v1", "127.0.0.1:5000/a/b/c:v1"),
        ("[::1]:5000/app", "[::1]:5000/app:latest"),
        ("host.example/app", "host.example/app:latest"),
        ("Host/app", "Host/app:latest"),
        ("host.example:443/a-b__c.d/e--f:T_.-", "host.example:443/a-b__c.d/e--f:T_.-"),
        ("xn--n3h.example/app", "xn--n3h.example/app:latest"),
    ],
)
def test_what_is_left_out_is_filled_in(text: str, whole: str) -> None:
    assert str(parse_reference(text)) == whole
    assert str(parse_reference(whole)) == whole


@pytest.mark.parametrize(
    "text",
    [
        "", ":", "@", "/", "app:", "app@", "App", "team/App", "app:la test", "app:-x", "a//b", "/a",
        "a/", "a/../b", "../a", "a/./b", ".a", "a.", "a___b", "a..b", "host.example:x/app",
        "host.example:99999/app", "-host.example/app", "host_x.example/app", "http://host/app",
        HEX, "app@sha256:abc", "app@md5:" + HEX[:32], f"app@{SHA256.upper()}",
        f"app@{SHA256}@{SHA256}", f"app@{SHA256}:tag", "a" * 300, "app:" + "t" * 129, "app\n",
        "app\0", "äpp", "app:täg", "user@host/app", "host.example/app?x=1", "a" * 100_000,
    ],
)  # fmt: skip
def test_what_breaks_the_grammar_is_refused(text: str) -> None:
    with pytest.raises(InvalidReferenceError):
        parse_reference(text)


def test_the_digest_is_asked_for_before_the_tag() -> None:
    assert parse_reference(f"app:v1@{SHA256}").object == SHA256


@pytest.mark.parametrize("text", ["host.example/app:v1", f"host.example/app@{SHA256}"])
def test_a_repository_has_neither_tag_nor_digest(text: str) -> None:
    with pytest.raises(InvalidReferenceError, match="alone"):
        parse_repository(text)
    assert parse_repository("localhost:5000/app").tag is None
