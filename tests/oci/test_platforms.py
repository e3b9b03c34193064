"""Of an index, the best that runs is chosen, in containerd's order."""

import itertools
import json
from collections.abc import Callable

import pytest

from contentdb import oci
from contentdb.errors import InvalidArgumentError
from contentdb.oci.documents import machine
from contentdb.oci.documents.choice import NoneFitsError, choose
from contentdb.oci.errors import InvalidManifestError
from tests.hostile.server import INDEX, LAYER, MANIFEST, descriptor

AMD64_V3 = (
    "fpu cx16 lahf_lm popcnt pni sse4_1 sse4_2 ssse3 avx avx2 bmi1 bmi2 f16c fma abm movbe xsave"
)
V8 = "arm64/v8.6 arm64/v8.5 arm64/v8.4 arm64/v8.3 arm64/v8.2 arm64/v8.1"
NUMBER = itertools.count()


def entry(platform: str | None, **more: object) -> dict[str, object]:
    """A manifest's descriptor; its bytes are its own."""
    if platform is not None:
        names = zip(("os", "architecture", "variant"), platform.split("/"), strict=False)
        more = {"platform": dict(names)} | more
    return descriptor(MANIFEST, f"{platform} {next(NUMBER)}".encode(), **more)


def index(*entries: dict[str, object]) -> bytes:
    document = {"schemaVersion": 2, "mediaType": INDEX, "manifests": list(entries)}
    return json.dumps(document).encode()


def chosen(
    data: bytes, *wanted: str, inner: tuple[bytes, ...] = ()
) -> tuple[tuple[str, int], ...] | None:
    """What is chosen, and how many indexes lead to it."""
    known = {str(descriptor(INDEX, one)["digest"]): one for one in inner}
    found = choose(
        oci.parse_document(data),
        [oci.Platform.parse(text) for text in wanted],
        lambda part: oci.parse_document(known[part.digest], part.media_type),
    )
    return None if found is None else tuple((str(c.platform), len(c.steps) - 1) for c in found)


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("linux/amd64", "linux/amd64"),
        ("amd64", "linux/amd64"),
        ("x86_64", "linux/amd64"),
        ("x86-64", "linux/amd64"),
        ("linux/x86_64/v3", "linux/amd64/v3"),
        ("linux/amd64/v1", "linux/amd64"),
        ("aarch64", "linux/arm64"),
        ("linux/arm64/v8", "linux/arm64"),
        ("linux/arm64/8", "linux/arm64"),
        ("armhf", "linux/arm/v7"),
        ("linux/arm/7", "linux/arm/v7"),
        ("arm/v7", "linux/arm/v7"),
        ("x86_64/v3", "linux/amd64/v3"),
        ("armel", "linux/arm/v6"),
        ("linux/ARM/v5", "linux/arm/v5"),
        ("i386", "linux/386"),
        ("windows/amd64", "windows/amd64"),
        ("macos/arm64", "darwin/arm64"),
        ("linux/sparc64", "linux/sparc64"),
    ],
)
def test_a_platform_has_one_name_of_many(text: str, meaning: str) -> None:
    assert str(oci.Platform.parse(text)) == meaning


def test_a_system_alone_is_this_machines_architecture() -> None:
    assert oci.Platform.parse("linux") == oci.Platform.here()
    assert oci.Platform.here().os == "linux"


@pytest.mark.parametrize("text", ["", "x", "/", "linux/", "/amd64", "a/b/c/d", "linux/a b", "ä/b"])
def test_what_is_no_platform_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgumentError, match="linux/amd64"):
        oci.Platform.parse(text)


@pytest.mark.parametrize(
    ("name", "flags", "expected"),
    [
        ("x86_64", AMD64_V3, ("amd64", "v3")),
        ("x86_64", AMD64_V3.replace("avx2", ""), ("amd64", "v2")),
        ("x86_64", f"{AMD64_V3} avx512f avx512bw avx512cd avx512dq avx512vl", ("amd64", "v4")),
        ("x86_64", "fpu sse2", ("amd64", "")),
        ("aarch64", "", ("arm64", "")),
        ("armv7l", "", ("arm", "v7")),
        ("armv6l", "", ("arm", "v6")),
        ("armv5tejl", "", ("arm", "v5")),
        ("i686", "", ("386", "")),
        ("riscv64", "", ("riscv64", "")),
    ],
)
def test_a_machine_is_known_by_its_processor(
    name: str, flags: str, expected: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.machine", lambda: name)
    monkeypatch.setattr(machine, "_flags", lambda: frozenset(flags.split()))
    assert machine.architecture_here() == expected


@pytest.mark.parametrize(
    ("wanted", "order"),
    [
        ("linux/amd64", "amd64 386"),
        ("linux/amd64/v3", "amd64/v3 amd64/v2 amd64 386"),
        ("linux/arm", "arm/v7 arm/v6 arm/v5"),
        ("linux/arm/v8", "arm/v8 arm/v7 arm/v6 arm/v5"),
        ("linux/arm/v5", "arm/v5"),
        ("linux/arm64", "arm64 arm/v8 arm/v7 arm/v6 arm/v5"),
        ("linux/arm64/v8.2", "arm64/v8.2 arm64/v8.1 arm64 arm/v8 arm/v7 arm/v6 arm/v5"),
        ("linux/arm64/v9.1", f"arm64/v9.1 arm64/v9 {V8} arm64 arm/v8 arm/v7 arm/v6 arm/v5"),
        ("linux/386", "386"),
        ("linux/s390x", "s390x"),
    ],
)
def test_the_order_is_containerds(wanted: str, order: str) -> None:
    """The rules of ``platformVector`` in containerd's platforms/compare.go."""
    runs = [str(platform) for platform in oci.Platform.parse(wanted).runs()]
    assert runs == [f"linux/{name}" for name in order.split()]


@pytest.mark.parametrize(
    ("there", "wanted", "best"),
    [
        ("amd64/v3 amd64/v2 amd64", "linux/amd64", "amd64"),
        ("amd64 amd64/v2 amd64/v3 amd64/v4", "linux/amd64/v3", "amd64/v3"),
        ("amd64/v4 amd64/v2 386", "linux/amd64/v3", "amd64/v2"),
        ("arm/v7 arm/v6 arm/v5", "linux/arm/v6", "arm/v6"),
        ("arm/v7 arm/v5", "linux/arm/v6", "arm/v5"),
        ("arm", "linux/arm/v7", "arm/v7"),
        ("arm/v6 arm64/v8 arm/v7", "linux/arm64", "arm64"),
        ("arm64", "linux/arm64/v8", "arm64"),
        ("arm/v6 arm/v7", "linux/arm64", "arm/v7"),
        ("x86_64", "linux/amd64", "amd64"),
    ],
)
def test_the_best_that_runs_is_chosen(there: str, wanted: str, best: str) -> None:
    data = index(*(entry(f"linux/{name}") for name in there.split()))
    assert chosen(data, wanted) == ((f"linux/{best}", 0),)


@pytest.mark.parametrize(
    ("there", "wanted"),
    [
        ("amd64/v2 amd64/v3", "linux/amd64"),
        ("arm/v7", "linux/arm/v6"),
        ("arm/v7 arm64", "linux/arm/v6"),
        ("arm64", "linux/arm"),
        ("amd64", "linux/386"),
    ],
)
def test_what_would_not_run_is_an_error_with_what_there_is(there: str, wanted: str) -> None:
    data = index(*(entry(f"linux/{name}") for name in there.split()), entry("unknown/unknown"))
    with pytest.raises(NoneFitsError) as caught:
        chosen(data, wanted)
    assert caught.value.there == ", ".join(f"linux/{name}" for name in there.split())


def test_what_is_there_is_told_in_bounds() -> None:
    data = index(*(entry(f"linux/x{number}\n{'y' * 300}") for number in range(100)))
    with pytest.raises(NoneFitsError) as caught:
        chosen(data, "linux/amd64")
    assert len(caught.value.there) < 2000
    assert "80 more" in caught.value.there
    assert "\n" not in caught.value.there


@pytest.mark.parametrize(
    "wrong",
    [
        entry("unknown/unknown"),
        entry("linux/amd64", annotations={"vnd.docker.reference.type": "attestation-manifest"}),
        entry(None)
        | {"platform": {"os": "linux", "architecture": "amd64", "os.features": ["erofs"]}},
    ],
    ids=["unknown", "attestation", "features"],
)
def test_what_is_not_for_running_is_not_chosen(wrong: dict[str, object]) -> None:
    right = entry("linux/amd64")
    found = choose(oci.parse_document(index(wrong, right)), [oci.Platform("linux", "amd64")], fail)
    assert found is not None
    assert found[0].steps[0].digest == right["digest"]
    with pytest.raises(NoneFitsError):
        chosen(index(wrong), "linux/amd64")
    with pytest.raises(NoneFitsError):
        chosen(index(wrong), "unknown/unknown")


def fail(part: object) -> oci.Document:
    raise AssertionError(part)


def nested(data: bytes, platform: str | None = None) -> dict[str, object]:
    return entry(platform) | descriptor(INDEX, data)


INNER = index(entry("linux/amd64"), entry("linux/arm64"))


@pytest.mark.parametrize(
    ("beside", "wanted", "best"),
    [
        ("linux/s390x", "linux/amd64", ("linux/amd64", 1)),
        ("linux/386", "linux/amd64", ("linux/amd64", 1)),
        ("linux/amd64", "linux/amd64", ("linux/amd64", 0)),
        ("linux/s390x", "linux/arm64", ("linux/arm64", 1)),
    ],
)
def test_an_index_within_is_looked_into_for_something_better(
    beside: str, wanted: str, best: tuple[str, int]
) -> None:
    data = index(nested(INNER), entry(beside))
    assert chosen(data, wanted, inner=(INNER,)) == (best,)


def test_an_exact_match_needs_no_look_into_other_indexes() -> None:
    found = choose(
        oci.parse_document(index(nested(INNER), entry("linux/amd64"))),
        [oci.Platform("linux", "amd64")],
        fail,
    )
    assert found is not None


def test_an_index_within_for_another_platform_is_not_looked_into() -> None:
    with pytest.raises(NoneFitsError, match="linux/amd64"):
        choose(
            oci.parse_document(index(nested(INNER, "linux/s390x"))),
            [oci.Platform("linux", "amd64")],
            fail,
        )


def test_entries_of_an_index_with_a_platform_have_that_of_the_index() -> None:
    plain = index(entry(None))
    assert chosen(index(nested(plain, "linux/arm64")), "linux/arm64", inner=(plain,)) == (
        ("linux/arm64", 1),
    )


def test_without_platforms_there_is_nothing_to_choose() -> None:
    layers = index(descriptor(LAYER, b"layer"), entry(None))
    assert chosen(layers, "linux/amd64") is None
    assert chosen(index(nested(layers)), "linux/amd64", inner=(layers,)) is None


def test_several_platforms_are_each_chosen_for() -> None:
    data = index(nested(INNER), entry("linux/386"))
    found = chosen(data, "linux/arm64", "linux/386", "linux/amd64", inner=(INNER,))
    assert found == (("linux/arm64", 1), ("linux/386", 0), ("linux/amd64", 1))
    with pytest.raises(NoneFitsError, match="s390x"):
        chosen(data, "linux/386", "linux/s390x", inner=(INNER,))


def wide() -> tuple[bytes, Callable[[object], bytes]]:
    """An index of thousands of others."""
    return index(*(nested(b"%d" % number) for number in range(4000))), lambda _part: index()


def deep() -> tuple[bytes, Callable[[object], bytes]]:
    """An index within an index, without end."""
    return index(nested(b"x")), lambda _part: index(nested(b"%d" % next(NUMBER)))


@pytest.mark.parametrize("make", [wide, deep])
def test_the_search_is_bounded(make: Callable[[], tuple[bytes, Callable[[object], bytes]]]) -> None:
    data, load = make()
    loaded = []

    def count(part: object) -> oci.Document:
        loaded.append(part)
        return oci.parse_document(load(part))

    with pytest.raises(InvalidManifestError, match="without end"):
        choose(oci.parse_document(data), [oci.Platform("linux", "amd64")], count)
    assert len(loaded) <= 64
