"""The main job on real files: many processes take them in, one is killed, nothing is lost.

Run it by `make demo`. It works in a temporary directory, checks what it says, and ends with
another status than 0 where something is not so.
"""

from __future__ import annotations

import io
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parents[1]))  # the script's own folder is there already

from demo import image
from demo.commands import Commands, Ended, check, until
from demo.material import Item, choose, copies, without_beginning

if TYPE_CHECKING:
    from collections.abc import Iterator

AT_ONCE = 10


def main() -> None:
    """Tell the story, step by step, and how long each step took."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # in a pipe as on a terminal
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="contentdb-demo-") as name:
        Demo(Path(name)).run()
    print(f"\nAll of it held, in {time.monotonic() - began:.0f} s.")


class Demo:
    """A store, the files that go into it, and what happened to them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "store"
        self.commands = Commands(self.root)
        self.originals = choose()
        self.items = self.originals + copies(self.originals, folder / "second")
        self.steps: list[tuple[str, str, float]] = []

    def run(self) -> None:
        """All steps, in order."""
        size = sum(item.size for item in self.items)
        print(
            f"{len(self.items)} files, {_mib(size)}, of this Python installation; "
            f"{len(self.items) - len(self.originals)} of them are copies of others.\n"
            f"Each goes through its own process, {AT_ONCE} at a time:\n\n"
            "   $ contentdb ingest --expected-digest D --expected-size S D < file"
        )
        offset = self.take_in()
        self.resume(offset)
        self.look(size)
        self.take_in_again()
        self.remove()
        self.pull()
        self.print_table()

    @contextmanager
    def step(self, title: str) -> Iterator[list[str]]:
        """Announce a step and note its time; the block says what came of it."""
        print(f"\n{len(self.steps) + 1}. {title}")
        result: list[str] = []
        began = time.monotonic()
        yield result
        self.steps.append((title, result[0], time.monotonic() - began))

    # -- steps ----------------------------------------------------------------------------------

    def take_in(self) -> int:
        """All files at once; the largest comes slowly, and its process is killed half-way."""
        largest, *others = self.items
        with self.step("Take all in; kill one process half-way") as result:
            with ThreadPoolExecutor(1) as shell, self.half_fed(largest) as slow:
                line = shell.submit(self.commands.ingest_all, others, at_once=AT_ONCE - 1)
                until(self.some_are_stored, "ingests end")
                self.show("active")
                print(f"   $ contentdb ingest --no-wait {largest.digest[:14]}… < file")
                print(f"   {self.commands.refusal(largest)}")
                slow.kill()
                check(slow.wait() == -9, "the slow process was killed")
                ended = line.result()
            check(all(code == 0 for code, _ in ended), "all others end 0")
            (left,) = self.commands.records("active")
            check(left["ref"] == largest.digest and not left["held"], "only the killed one is left")
            offset: int = left["offset"]
            check(offset >= largest.size // 2, "what had come before the kill is kept")
            print(f"   kill -9: its ingest keeps {_mib(offset)} of {_mib(largest.size)}")
            result.append(f"{len(ended)} ingests done, 1 killed")
        return offset

    @contextmanager
    def half_fed(self, item: Item) -> Iterator[subprocess.Popen[bytes]]:
        """A process that got half of a file through a pipe, and waits for the rest."""
        with self.commands.start(item, subprocess.PIPE) as slow:
            try:
                assert slow.stdin is not None  # noqa: S101 - it was asked for
                with item.path.open("rb") as source:
                    slow.stdin.write(source.read(item.size // 2))
                slow.stdin.flush()
                until(
                    lambda: any(
                        found["offset"] == item.size // 2
                        for found in self.commands.records("active")
                    ),
                    "active tells how far an ingest has come",
                )
                yield slow
            finally:
                slow.kill()

    def some_are_stored(self) -> bool:
        """Whether the line is under way."""
        (usage,) = self.commands.records("du")
        return bool(usage["blobs"] > len(self.items) // 8)

    def resume(self, offset: int) -> None:
        """The killed ingest, started twice at once: one goes on, the other has nothing to do."""
        rest = without_beginning(self.items[0], offset, self.folder / "rest")
        with self.step("Start the killed one again, twice at once") as result:
            ended = self.commands.ingest_all([rest, rest], at_once=2)
            check(
                sorted(ended) == [Ended(0, 0), Ended(0, rest.size)],
                "both end 0, and only one has read its input",
            )
            print(
                f"   one went on at {_mib(offset)}: its input had zeros up to there, and the digest"
                " is right;\n   the other waited, and ended 0 without reading its input"
            )
            result.append(f"resumed at {_mib(offset)}; done once")

    def look(self, size: int) -> None:
        """What is there, where it is, and what the copies cost."""
        with self.step("Look at what is there") as result:
            self.show("ls", "--sort=-size", "--limit=4")
            self.show("path", "-q", self.items[0].digest)
            self.show("du")
            (usage,) = self.commands.records("du")
            saved = size - usage["blob_bytes"]
            check(usage["blobs"] == len({item.digest for item in self.items}), "one blob a content")
            check(saved > 0, "content met twice is stored once")
            check(
                not self.commands.run("verify", "-q"), "verify reads every byte and finds nothing"
            )
            twice = len(self.items) - usage["blobs"]
            print(f"   {twice} contents were met twice and stored once: {_mib(saved)} saved")
            result.append(f"{usage['blobs']} blobs; {_mib(saved)} saved")

    def take_in_again(self) -> None:
        """The whole line once more."""
        with self.step("The whole line again") as result:
            before = self.state()
            ended = self.commands.ingest_all(self.items, at_once=AT_ONCE)
            check(set(ended) == {Ended(0, 0)}, "all end 0, and nothing is read")
            check(self.state() == before, "nothing is changed")
            result.append(f"{len(ended)} ingests: 0 bytes read, nothing changed")
            print(f"   {result[0]}")

    def state(self) -> tuple[str, dict[Path, tuple[int, int, int]]]:
        """All that is known of the blobs, and all that shows of their files."""
        found = {path: path.stat() for path in self.root.glob("blobs/*/*/*")}
        files = {path: (at.st_ino, at.st_mtime_ns, at.st_size) for path, at in found.items()}
        return self.commands.run("ls", "--json"), files

    def remove(self) -> None:
        """Everything, by a pipe."""
        with self.step("Remove everything") as result:
            line = "contentdb ls -q | xargs -r contentdb rm"
            print(f"   $ {line}")
            gone = self.commands.shell(line).split()
            check(set(gone) == {item.digest for item in self.items}, "rm tells each digest")
            check(not self.commands.run("ls", "-q"), "the store is empty")
            check(not any(self.root.glob("blobs/*/*/*")), "no file is left")
            result.append(f"{len(gone)} blobs removed")

    def pull(self) -> None:
        """An image, where the programs for it are installed."""
        if not image.programs_are_here():
            print(f"\n{image.MISSING}")
            return
        with self.step("Pull an image from a registry") as result:
            result.append(image.pull_one(self.originals[1:4], self.folder / "image"))

    # -- what is printed --------------------------------------------------------------------------

    def show(self, *arguments: str) -> None:
        """Run a command before the newcomer's eyes."""
        print(f"   $ contentdb {' '.join(arguments)}")
        for text in self.commands.run(*arguments).splitlines():
            print(f"   {text}")

    def print_table(self) -> None:
        """What each step came to."""
        print(f"\n{'STEP':<44}{'RESULT':<48}{'SECONDS':>7}")
        for title, result, seconds in self.steps:
            print(f"{title:<44}{result:<48}{seconds:>7.1f}")


def _mib(size: int) -> str:
    return f"{size / (1 << 20):.1f} MiB"


if __name__ == "__main__":
    main()
