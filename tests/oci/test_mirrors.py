"""Mirrors are asked as the files of other tools say, then the registry; secrets stay apart."""

import base64
import json
import logging
from pathlib import Path
from urllib.parse import parse_qs

import pytest

import contentdb
from contentdb import oci
from contentdb.oci.labels import source_key
from tests.cli.shell import call, only_line, run
from tests.hostile.server import Image, Reply, Request, Script, Server, reply, sha
from tests.oci.conftest import Start

IMAGE = Image()
TOP = sha(IMAGE.manifest)
BLOBS = {TOP, sha(IMAGE.config), sha(IMAGE.layer)}
SOURCE = oci.Endpoint.of("registry.example")


def honest(request: Request) -> bytes:
    """A registry that does not look at what containerd's mirrors are told behind the path."""
    return IMAGE.answer(request._replace(path=request.path.partition("?")[0]))


def absent(_request: Request) -> Reply:
    return reply(404, b'{"errors":[{"code":"BLOB_UNKNOWN"}]}')


# -- hosts.toml --------------------------------------------------------------------------------


def hosts(folder: Path, text: str, name: str = "registry.example") -> oci.Endpoints:
    (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / name / "hosts.toml").write_text(text)
    found = oci.find_hosts([folder / "absent", folder], SOURCE)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("url", "more", "name", "root"),
    [
        ("https://m.example", "", "m.example", "https://m.example:443/v2/"),
        ("m.example", "", "m.example", "https://m.example:443/v2/"),
        ("http://m.example:5000", "", "m.example:5000", "http://m.example:5000/v2/"),
        ("https://m.example/us", "", "m.example", "https://m.example:443/us/v2/"),
        ("https://m.example/us/v2/", "", "m.example", "https://m.example:443/us/v2/"),
        ("https://m.example/x", "override_path = true", "m.example", "https://m.example:443/x/"),
        ("https://registry-1.docker.io", "", "docker.io", "https://registry-1.docker.io:443/v2/"),
        ("http://[::1]:5000", "", "[::1]:5000", "http://[::1]:5000/v2/"),
    ],
)
def test_a_host_is_a_url_and_its_api_below_it(
    url: str, more: str, name: str, root: str, tmp_path: Path
) -> None:
    mirror = hosts(tmp_path, f'[host."{url}"]\n{more}\n').mirrors[0]
    assert (mirror.name, mirror.root, mirror.namespace) == (name, root, "registry.example")


def test_hosts_keep_their_order_settings_and_capabilities(tmp_path: Path) -> None:
    found = hosts(
        tmp_path,
        """
        [host."https://z.example"]
          capabilities = ["pull"]
          ca = ["one.pem", "/two.pem"]
          client = [["client.cert", "client.key"]]
          skip_verify = true
          [host."https://z.example".header]
            x-one = "a"
            x-two = ["b", "c"]
        [host."https://a.example"]
          client = "both.pem"
          ca = "a.pem"
        [host."https://p.example"]
          capabilities = ["pull", "resolve", "push"]
        """,
    )
    first, second, third = found.mirrors
    folder = tmp_path / "registry.example"
    assert [one.name for one in found.reads] == [
        "z.example", "a.example", "p.example", "registry.example",
    ]  # fmt: skip
    assert (first.pulls, first.resolves, first.verified) == (True, False, False)
    assert first.ca == (str(folder / "one.pem"), "/two.pem")
    assert first.cert == (str(folder / "client.cert"), str(folder / "client.key"))
    assert first.headers == (("X-One", "a"), ("X-Two", "b, c"))
    assert "b, c" not in f"{found!r} {first}"
    assert (second.pulls, second.resolves, second.verified) == (True, True, True)
    assert (second.cert, second.ca) == ((str(folder / "both.pem"), None), (str(folder / "a.pem"),))
    assert found.writes == third
    assert found.source == SOURCE
    new = hosts(tmp_path, '[host."https://m.example"]\ncapabilities = ["referrers", "resolve"]')
    assert [one.name for one in new.reads] == ["registry.example"]


def test_a_server_takes_the_place_of_the_name(tmp_path: Path) -> None:
    found = hosts(tmp_path, 'server = "https://other.example"\n[host."https://m.example"]\n')
    assert found.source.name == "other.example"
    assert found.writes == found.source
    only = 'server = "https://other.example"\ncapabilities = ["pull", "resolve"]\n'
    assert hosts(tmp_path, only).writes is None
    assert hosts(tmp_path, "skip_verify = true").source == SOURCE._replace(verified=False)


def test_a_directory_is_found_by_host_and_port_and_else_by_the_default(tmp_path: Path) -> None:
    source = oci.Endpoint.of("registry.example:5000")
    names = ["registry.example_5000_", "registry.example:5000", "_default"]
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / "hosts.toml").write_text('[host."https://mirror.example"]')
    for name in names:
        found = oci.find_hosts([tmp_path], source)
        assert found is not None
        assert found.file == str(tmp_path / name / "hosts.toml")
        (tmp_path / name / "hosts.toml").unlink()
        (tmp_path / name).rmdir()
    assert oci.find_hosts([tmp_path, tmp_path / "absent"], source) is None


def test_a_directory_may_have_certificates_alone(tmp_path: Path) -> None:
    folder = tmp_path / "registry.example"
    folder.mkdir()
    for name in ("ca.crt", "me.cert", "me.key"):
        (folder / name).touch()
    found = oci.find_hosts([tmp_path], SOURCE)
    assert found is not None
    assert found.source.ca == (str(folder / "ca.crt"),)
    assert found.source.cert == (str(folder / "me.cert"), str(folder / "me.key"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[host", "TOML"),
        ('server = "ftp://x"', "http"),
        ("server = 1", "server must be a text"),
        ("host = 1", "host must be a table"),
        ('[host."https://m"]\ncapabilities = ["fly"]', "capabilities are"),
        ('[host."https://m"]\nskip_verify = "yes"', "true or false"),
        ('[host."https://m"]\nca = [1]', "ca must hold texts"),
        ('[host."https://m"]\nclient = [["a"]]', "pairs"),
        ('[host."https://m"]\nclient = ["a", "b"]', "not several"),
        ('[host."https://u:SECRET@m"]', "user"),
        ('[host."https://m?SECRET"]', "query"),
        ('[host."https://m".header]\nx = "a\\nb"', "HTTP does not allow"),
        ('[host."https://m".header]\nHost = "x"', "by the client itself"),
    ],
)
def test_a_wrong_hosts_file_is_named_with_its_fault(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(oci.RegistryConfigError, match=said) as caught:
        hosts(tmp_path, text)
    assert str(tmp_path / "registry.example" / "hosts.toml") in str(caught.value)
    assert "SECRET" not in str(caught.value)


# -- registries.conf ---------------------------------------------------------------------------


def conf(folder: Path, text: str, reference: str) -> oci.Endpoints | None:
    (folder / "registries.conf").write_text(text)
    place = oci.parse_reference(reference)
    files = [folder / "absent.conf", folder / "registries.conf"]
    return oci.find_locations(files, place, oci.Endpoint.of(place.registry))


def shown(found: oci.Endpoints | None, reference: str) -> list[str]:
    """What is asked, as names of repositories."""
    if found is None:
        return []
    repository = oci.parse_reference(reference).repository
    return [f"{one.name}/{one.renamed[1] or repository}" for one in found.reads]


CONF = """
unqualified-search-registries = ["search.example"]
[aliases]
"app" = "alias.example/app"

[[registry]]
prefix = "example.com/foo"
location = "internal.example/bar"
[[registry.mirror]]
location = "mirror-0.example/mirror-for-foo"
[[registry.mirror]]
location = "mirror-1.example:5000/mirrors/foo"
insecure = true

[[registry]]
location = "registry.com"
[[registry.mirror]]
location = "mirror.registry.com"

[[registry]]
prefix = "*.wild.example"
[[registry.mirror]]
location = "wild-mirror.example/all"

[[registry]]
location = "docker.io/library"
[[registry.mirror]]
location = "hub.example/official"
"""


@pytest.mark.parametrize(
    ("reference", "asked"),
    [
        (
            "example.com/foo/image:latest",
            [
                "mirror-0.example/mirror-for-foo/image",
                "mirror-1.example:5000/mirrors/foo/image",
                "internal.example/bar/image",
            ],
        ),
        ("example.com/food/image", []),
        ("example.com/other", []),
        ("registry.com/image", ["mirror.registry.com/image", "registry.com/image"]),
        ("registry.com:5000/image", []),
        ("registry.company/image", []),
        ("a.b.wild.example/x/y", ["wild-mirror.example/all/x/y", "a.b.wild.example/x/y"]),
        ("wild.example/x", []),
        ("app", ["hub.example/official/app", "docker.io/library/app"]),
        ("docker.io/team/app", []),
    ],
)
def test_the_longest_prefix_decides_and_locations_replace_it(
    reference: str, asked: list[str], tmp_path: Path
) -> None:
    found = conf(tmp_path, CONF, reference)
    assert shown(found, reference) == asked
    if found is not None:  # a push goes where the name says
        assert found.writes == oci.Endpoint.of(oci.parse_reference(reference).registry)


def test_insecure_is_what_the_file_says_of_each_place(tmp_path: Path) -> None:
    found = conf(tmp_path, CONF, "example.com/foo/image")
    assert found is not None
    assert [(one.verified, one.plain_too) for one in found.reads] == [
        (True, False), (False, True), (True, False),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("setting", "by_tag", "by_digest"),
    [
        ("", "ms", "ms"),
        ("pull-from-mirror = 'all'", "ms", "ms"),
        ("pull-from-mirror = 'digest-only'", "s", "ms"),
        ("pull-from-mirror = 'tag-only'", "ms", "s"),
    ],
)
def test_a_mirror_is_for_tags_or_digests_or_both(
    setting: str, by_tag: str, by_digest: str, tmp_path: Path
) -> None:
    text = f"[[registry]]\nlocation='s.x'\n[[registry.mirror]]\nlocation='m.x'\n{setting}\n"
    assert asked(tmp_path, text) == (by_tag, by_digest)


def test_all_mirrors_are_for_digests_alone_if_the_registry_says_so(tmp_path: Path) -> None:
    text = "[[registry]]\nlocation='s.x'\nmirror-by-digest-only=true\nmirror=[{location='m.x'}]"
    assert asked(tmp_path, text) == ("s", "ms")


def asked(folder: Path, text: str) -> tuple[str, str]:
    """The places for a tag and for a digest, by their first letters."""
    found = [conf(folder, text, reference) for reference in ("s.x/a:v1", f"s.x/a@{TOP}")]
    tag, digest = ("".join(one.name[0] for one in each.reads) for each in found if each)
    return tag, digest


def test_what_is_blocked_is_refused_in_the_files_name(tmp_path: Path) -> None:
    text = "[[registry]]\nlocation='bad.example/team'\nblocked=true"
    with pytest.raises(oci.RegistryConfigError, match=r"registries\.conf blocks bad.example/team"):
        conf(tmp_path, text, "bad.example/team/app")
    assert conf(tmp_path, text, "bad.example/other") is None
    one_tag = "[[registry]]\nlocation='bad.example/app:v1'\nblocked=true"
    with pytest.raises(oci.RegistryConfigError, match="blocks"):
        conf(tmp_path, one_tag, "bad.example/app:v1")
    assert conf(tmp_path, one_tag, "bad.example/app:v10") is None


def test_version_1_is_read_as_far_as_it_means_something(tmp_path: Path) -> None:
    text = (
        "[registries.search]\nregistries=['a.x']\n[registries.insecure]\nregistries=['b.x']\n"
        "[registries.block]\nregistries=['c.x']"
    )
    assert conf(tmp_path, text, "a.x/app") is None
    found = conf(tmp_path, text, "b.x/app")
    assert found is not None
    assert found.source.plain_too
    with pytest.raises(oci.RegistryConfigError, match=r"blocks c\.x"):
        conf(tmp_path, text, "c.x/app")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[registry]]", "needs a location"),
        ("[registry]", "registry must be an array"),
        ("[[registry]]\nprefix='s.x'", "needs a location"),
        ("[[registry]]\nlocation='https://s.x'", "has a scheme"),
        ("[[registry]]\nlocation='me:SECRET@s.x'", "has a user"),
        ("[[registry]]\nprefix='*.s.x/y'", "wildcard"),
        ("[[registry]]\nprefix='s.x'\nlocation='nohost/x'", "registry's host"),
        ("[[registry]]\nprefix='s.x/a:v1'\nlocation='t.x/a'", "tag or digest"),
        ("[[registry]]\nprefix='s.x'\nlocation='t.x/UPPER'", "lower case"),
        ("[[registry]]\nlocation='s.x'\n[[registry.mirror]]", "mirror.. needs a location"),
        (
            "registry=[{location='s.x', mirror=[{location='m.x', pull-from-mirror='never'}]}]",
            "digest-only or tag-only",
        ),
    ],
)
def test_a_wrong_registries_file_is_named_with_its_fault(
    text: str, said: str, tmp_path: Path
) -> None:
    with pytest.raises(oci.RegistryConfigError, match=said) as caught:
        conf(tmp_path, text, "s.x/a:v1")
    assert str(tmp_path / "registries.conf") in str(caught.value)
    assert "SECRET" not in str(caught.value)


# -- what is asked of whom ---------------------------------------------------------------------


def mirror_file(folder: Path, source: Server, *mirrors: Server, settings: str = "") -> Path:
    """Write a `hosts.toml` for a registry; return the directory to name."""
    own = folder / "hosts" / source.name.replace(":", "_")
    own = own.with_name(own.name + "_")
    own.mkdir(parents=True, exist_ok=True)
    tables = "".join(f'[host."http://{one.name}"]\n{settings}\n' for one in mirrors)
    (own / "hosts.toml").write_text(f'server = "http://{source.name}"\n{tables}')
    return folder / "hosts"


def pull(root: Path, source: Server, *options: object) -> None:
    result = call(root, "pull", "--plain-http", "-q", f"{source.name}/a/b:v1", *options)
    assert (result.exit_code, result.stdout) == (0, TOP + "\n"), result.stderr
    with contentdb.open(root) as store:
        labels = [info.labels for info in store.walk()]
        assert {str(info.digest) for info in store.walk()} == BLOBS
    assert [one.get(source_key(source.name)) for one in labels] == ["a/b"] * 3


def test_a_mirror_that_has_all_is_asked_alone_and_told_who_is_meant(
    root: Path, tmp_path: Path, start: Start
) -> None:
    source, mirror, other = start(honest), start(honest), start(honest)
    pull(root, source, "--hosts-dir", mirror_file(tmp_path, source, mirror, other))
    assert source.requests == other.requests == []
    assert {request.path.partition("?")[2] for request in mirror.requests} == {
        f"ns={source.name.replace(':', '%3A')}"
    }


FAILING: dict[str, Script] = {
    "lacks": absent,
    "refuses": lambda _request: reply(401, WWW_Authenticate='Basic realm="x"'),
    "forbids": lambda _request: reply(403),
    "breaks": lambda _request: None,
    "broken": lambda _request: reply(500),
    "lacks blobs": lambda request: honest(request) if request.is_manifest else absent(request),
    "breaks in a blob": lambda request: (
        honest(request) if request.is_manifest else iter([honest(request)[:-9]])
    ),
}


@pytest.mark.parametrize("script", FAILING.values(), ids=FAILING)
def test_a_mirror_that_fails_is_gone_past(
    script: Script,
    root: Path,
    tmp_path: Path,
    start: Start,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("contentdb.oci.registry.transport.Transport.pause", lambda *_: None)
    caplog.set_level(logging.INFO, "contentdb")
    source, mirror, second = start(honest), start(script), start(absent)
    pull(root, source, "--hosts-dir", mirror_file(tmp_path, source, mirror, second))
    assert f"mirror={mirror.name!r}" in caplog.text
    assert mirror.requests
    assert source.requests
    assert not [record for record in caplog.records if "not verified" in record.message]


def test_a_mirror_that_cannot_be_reached_is_asked_once(
    root: Path, tmp_path: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(
        "contentdb.oci.registry.transport.Transport.pause", lambda _self, s: pauses.append(s)
    )
    source = start(honest)
    with Server(absent) as gone:
        folder = mirror_file(tmp_path, source, gone)
    pull(root, source, "--hosts-dir", folder)
    assert len(pauses) <= 3


def test_a_mirror_resolves_no_tag_unless_it_may(root: Path, tmp_path: Path, start: Start) -> None:
    source, mirror = start(honest), start(honest)
    folder = mirror_file(tmp_path, source, mirror, settings='capabilities = ["pull"]')
    pull(root, source, "--hosts-dir", folder)
    assert [request.path for request in source.requests] == ["/v2/a/b/manifests/v1"]
    assert len(mirror.requests) == 2


def test_an_error_is_that_of_the_registry_itself(root: Path, tmp_path: Path, start: Start) -> None:
    source, mirror = start(absent), start(absent)
    folder = mirror_file(tmp_path, source, mirror)
    result = call(root, "pull", f"{source.name}/a/b", "--plain-http", "--hosts-dir", folder)
    assert result.exit_code == 4
    assert f"registry {source.name}" in only_line(result.stderr)


def wanting(pair: str) -> Script:
    """A registry that wants this user and password."""
    right = "Basic " + base64.b64encode(pair.encode()).decode()

    def script(request: Request) -> Reply:
        if request.headers.get("authorization") != right:
            return reply(401, WWW_Authenticate='Basic realm="x"')
        return honest(request)

    return script


def test_each_place_sees_its_own_credentials_alone(
    root: Path, tmp_path: Path, start: Start
) -> None:
    source, mirror = start(wanting("me:pw")), start(wanting("you:other"))
    folder = mirror_file(tmp_path, source, mirror)
    pull(root / "1", source, "--hosts-dir", folder, "--user", "me:pw")
    assert {one.headers.get("authorization") for one in mirror.requests} == {None}
    asked = len(source.requests)
    entry = {"auth": base64.b64encode(b"you:other").decode()}
    (tmp_path / "auth.json").write_text(json.dumps({"auths": {mirror.name: entry}}))
    named = ("--hosts-dir", folder, "--authfile", tmp_path / "auth.json")
    pull(root / "2", source, *named, "--user", "me:pw")
    assert len(source.requests) == asked


def test_headers_of_a_mirror_stay_with_it(root: Path, tmp_path: Path, start: Start) -> None:
    source, elsewhere = start(honest), start(honest)

    def away(request: Request) -> Reply:
        return reply(307, Location=f"http://{elsewhere.name}{request.path}")

    mirror = start(away)
    settings = 'header = { x-secret = "bait" }'
    pull(root, source, "--hosts-dir", mirror_file(tmp_path, source, mirror, settings=settings))
    assert {one.headers.get("x-secret") for one in mirror.requests} == {"bait"}
    assert elsewhere.requests
    assert {one.headers.get("x-secret") for one in elsewhere.requests} == {None}


def test_a_push_goes_to_the_registry_unless_a_host_is_for_pushes(
    root: Path, tmp_path: Path, start: Start
) -> None:
    source, mirror = start(absent), start(absent)
    with contentdb.open(root) as store:
        for blob in (IMAGE.config, IMAGE.layer, IMAGE.manifest):
            store.add(blob)
    for settings, asked in (("", source), ('capabilities = ["push"]', mirror)):
        folder = mirror_file(tmp_path, source, mirror, settings=settings)
        words = ("--plain-http", f"{source.name}/a/b", "--hosts-dir", folder)
        assert call(root, "push", TOP, *words).exit_code == 4  # an upload is not begun
        assert {one is asked for one in (source, mirror) if one.requests} == {True}
        source.requests.clear()


# -- the command line --------------------------------------------------------------------------


def test_a_registries_file_moves_mirrors_and_blocks(
    root: Path, tmp_path: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, mirror = start(honest), start(absent)
    text = (
        f"[[registry]]\nprefix='{source.name}/a'\nlocation='{source.name}/team'\ninsecure=true\n"
        f"[[registry.mirror]]\nlocation='{mirror.name}/copies'\ninsecure=true\n"
        f"[[registry]]\nlocation='{source.name}/bad'\nblocked=true\n"
    )
    (tmp_path / "registries.conf").write_text(text)
    monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", str(tmp_path / "registries.conf"))
    result = call(root, "pull", "-q", f"{source.name}/a/b:v1")
    assert (result.exit_code, result.stdout) == (0, TOP + "\n"), result.stderr
    with contentdb.open(root) as store:
        assert store.info(TOP).labels[source_key(source.name)] == "a/b"
    for asked, name in ((mirror, "copies"), (source, "team")):  # first whether http is spoken
        paths = [request.path for request in asked.requests]
        assert paths[:2] == ["/v2/", f"/v2/{name}/b/manifests/v1"]
    refused = call(root, "pull", f"{source.name}/bad/b:v1")
    assert refused.exit_code == 1
    assert str(tmp_path / "registries.conf") in only_line(refused.stderr)


def test_what_is_usual_is_read_unless_another_file_is_named(
    root: Path, tmp_path: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CONTENTDB_HOSTS_DIR")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    source = start(honest)
    (tmp_path / "containers" / "registries.conf.d").mkdir(parents=True)
    blocks = f"[[registry]]\nlocation='{source.name}'\nblocked="
    (tmp_path / "containers" / "registries.conf").write_text(blocks + "false")
    (tmp_path / "containers" / "registries.conf.d" / "50.conf").write_text(blocks + "true")
    (tmp_path / "containers" / "registries.conf.d" / "60.note").write_text("no TOML")
    words = ("pull", "-q", "--plain-http", f"{source.name}/a/b:v1")
    refused = call(root, *words)
    assert "50.conf" in only_line(refused.stderr)
    assert call(root, *words, "--registries-conf", "/dev/null").exit_code == 0
    folder = mirror_file(tmp_path, source)
    (tmp_path / "containerd").mkdir()
    folder.rename(tmp_path / "containerd" / "certs.d")
    (tmp_path / "containers" / "registries.conf.d" / "50.conf").unlink()
    assert call(root, *words[:2], words[3]).exit_code == 0  # by the http that hosts.toml names


def test_a_file_that_is_named_must_be_there(root: Path) -> None:
    for option in ("--hosts-dir", "--registries-conf", "--authfile"):
        result = call(root, "pull", "a", option, "/no/such")
        assert result.exit_code == 2
        assert "/no/such" in only_line(result.stderr)


def test_a_token_is_asked_for_by_the_repositorys_name_there(
    root: Path, tmp_path: Path, start: Start
) -> None:
    scopes = []

    def script(request: Request) -> Reply:
        if request.path.startswith("/token"):
            scopes.extend(parse_qs(request.path.partition("?")[2])["scope"])
            return reply(200, b'{"token":"T"}')
        if request.headers.get("authorization") != "Bearer T":
            realm = f'Bearer realm="http://{source.name}/token"'
            return reply(401, WWW_Authenticate=realm)
        return honest(request)

    source = start(script)
    text = f"registry=[{{prefix='{source.name}/a', location='{source.name}/team', insecure=true}}]"
    (tmp_path / "registries.conf").write_text(text)
    words = ("-q", f"{source.name}/a/b:v1", "--registries-conf", tmp_path / "registries.conf")
    assert call(root, "pull", *words).exit_code == 0
    assert set(scopes) == {"repository:team/b:pull"}


@pytest.mark.parametrize("root", ["http://m.example/v2/", "https://m.example/v2/"])
def test_a_place_that_is_not_verified_is_told(root: str, caplog: pytest.LogCaptureFixture) -> None:
    place = oci.Endpoint("m.example", root, verified=False)
    oci.open_registry("m.example", oci.Endpoints(place, file="/my/hosts.toml")).close()
    assert caplog.records[0].levelname == "WARNING"
    assert "/my/hosts.toml" in caplog.text
    assert root in caplog.text


def test_fetch_reads_from_mirrors_too_and_fails_if_one_lied(
    root: Path, tmp_path: Path, start: Start
) -> None:
    source, mirror = start(honest), start(honest)
    folder = mirror_file(tmp_path, source, mirror)
    words = ("fetch", f"{source.name}/a/b", sha(IMAGE.layer), "--hosts-dir", folder)
    done = run(root, *words)
    assert (done.returncode, done.stdout, source.requests) == (0, IMAGE.layer, [])
    mirror.script = lambda _request: reply(200, b"other")
    done = run(root, *words)
    assert done.returncode == 1
    assert "is not to be used" in only_line(done.stderr)
