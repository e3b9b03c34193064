"""The wheel, built as a release is, works away from the checkout and has all it needs inside."""

import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path, PurePosixPath

import pytest

CHECKOUT = Path(__file__).parents[2]
HELLO = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"


def run(*command: str | Path, cwd: Path, stdin: str | None = None) -> str:
    """The standard output of a command that must succeed."""
    done = subprocess.run(
        command, capture_output=True, check=False, cwd=cwd, input=stdin, text=True
    )
    assert done.returncode == 0, f"{command} failed\n{done.stdout}\n{done.stderr}"
    return done.stdout


def shipped(folder: Path, package: PurePosixPath) -> set[str]:
    """The names in a wheel of all the files that `folder` has to give to `package`."""
    return {
        str(package / path.relative_to(folder).as_posix())
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built by way of the source distribution, from a copy: the checkout is left as it is."""
    source = tmp_path_factory.mktemp("source")
    for folder in ("contentdb", "migrations"):
        shutil.copytree(
            CHECKOUT / folder,
            source / folder,
            symlinks=True,
            ignore=shutil.ignore_patterns("__pycache__"),
        )
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(CHECKOUT / name, source)
    out = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, source, cwd=source)
    [built] = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` of an environment with the wheel in it.

    Its dependencies are lent from the environment that runs the tests, by a line of path, so that
    nothing is fetched; the checkout, there by another such line, is not lent with them.
    """
    home = tmp_path_factory.mktemp("environment")
    venv.create(home, with_pip=False, symlinks=True)
    python = home / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check")
    run(*pip, "install", "--quiet", "--no-deps", "--no-index", wheel, cwd=home)
    packages = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=home)
    lent = sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})
    Path(packages.strip(), "lent.pth").write_text("\n".join(lent))
    return home / "bin"


def test_it_has_every_file_of_the_package_and_no_other(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if ".dist-info/" not in name}
    wanted = shipped(CHECKOUT / "contentdb", PurePosixPath("contentdb"))
    wanted |= shipped(CHECKOUT / "migrations", PurePosixPath("contentdb/migrations"))
    assert inside == wanted
    assert {"contentdb/py.typed", "contentdb/migrations/env.py"} <= inside


def test_licence_and_readme_go_along(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        inside = {name.partition(".dist-info/")[2]: name for name in archive.namelist()}
        metadata = archive.read(inside["METADATA"]).decode()
    assert "licenses/LICENSE" in inside
    assert metadata.endswith((CHECKOUT / "README.md").read_text())


def test_it_makes_a_store_and_serves_it(environment: Path, tmp_path: Path) -> None:
    script = """
import sys
from pathlib import Path
import contentdb
assert Path(contentdb.__file__).is_relative_to(sys.prefix), contentdb.__file__
with contentdb.open("a store") as store:
    info = store.add(b"hello")
    assert store.read(info.digest) == b"hello"
print(info.digest)
"""
    python = environment / "python"
    assert run(python, "-W", "error", "-c", script, cwd=tmp_path) == f"{HELLO}\n"
    listed = run(python, "-m", "contentdb", "--root", "a store", "ls", "-q", cwd=tmp_path)
    assert listed == f"{HELLO}\n"


def test_its_command_makes_migrates_and_verifies_a_store(environment: Path, tmp_path: Path) -> None:
    contentdb = (environment / "contentdb", "--root", "another")
    run(*contentdb, "init", cwd=tmp_path)
    run(*contentdb, "migrate", cwd=tmp_path)
    run(*contentdb, "ingest", "--expected-digest", HELLO, HELLO, cwd=tmp_path, stdin="hello")
    assert run(*contentdb, "cat", HELLO, cwd=tmp_path) == "hello"
    run(*contentdb, "verify", cwd=tmp_path)
