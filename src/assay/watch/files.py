"""Waits between turns, and is woken by changes of files, where the file system tells of them."""

import re
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from glob import escape, has_magic
from pathlib import Path
from threading import Event, Lock, Thread

from assay.model import Source
from assay.plan.parts import regex_of

_STEP, _LONGEST_BURST = 500, 5_000  # ms without a change that end a burst of them, and at most
_PATIENCE = 2.0  # seconds to wait for a thread that is to end


class Waker:
    """Waits for a time, or until a file of a source or a declaration has changed.

    `failed` is called when the changes of some folders cannot be watched: they are found when the
    loop looks for itself.
    """

    def __init__(self, definitions: str, failed: Callable[[str], None]) -> None:
        self._definitions, self._failed = definitions, failed
        self._changed: set[Path] = set()
        self._lock, self._woken = Lock(), Event()
        self._matches: Callable[[str], bool] = lambda path: False
        self._watchers = [_Watcher(self._wake, failed, deep=deep) for deep in (False, True)]
        self._root: Path | None = None

    def watch(self, root: Path, sources: Collection[Source]) -> bool:
        """Watch a project and these sources; return whether other folders are watched than before.

        What has changed in those since they were looked at last may not have been noticed.
        """
        shallow, deep = folders(root, sources)
        self._matches = matcher(root, self._definitions, sources)
        began = [
            watcher.watch(paths)
            for watcher, paths in zip(
                self._watchers, ({root, *shallow}, {root / self._definitions, *deep}), strict=True
            )
        ]
        return any(began)

    def __call__(self, seconds: float) -> Iterable[Path]:
        """Wait for so many seconds, or until a file changes; return the files that have changed."""
        self._woken.wait(seconds)
        with self._lock:
            changed, self._changed = self._changed, set()
            self._woken.clear()
        return changed

    def _wake(self, paths: Iterable[str]) -> None:
        if changed := {Path(path) for path in paths if self._matches(path)}:
            with self._lock:
                self._changed |= changed
                self._woken.set()

    def close(self) -> None:
        """Stop watching."""
        for watcher in self._watchers:
            watcher.close()


class _Watcher:
    """A thread that watches a set of folders, and with `deep` all folders below them."""

    def __init__(
        self,
        wake: Callable[[Iterable[str]], None],
        failed: Callable[[str], None],
        *,
        deep: bool,
    ) -> None:
        self._wake, self._failed, self._deep = wake, failed, deep
        self._folders: frozenset[tuple[Path, int]] = frozenset()
        self._stop = Event()
        self._thread: Thread | None = None

    def watch(self, paths: Iterable[Path]) -> bool:
        """Watch these folders, as far as they exist; return whether they differ from before."""
        folders = frozenset(_existing(paths))
        if folders == self._folders:
            return False
        self.close()
        self._folders, self._stop = folders, Event()
        if folders:
            names = sorted(str(path) for path, _ in folders)
            self._thread = Thread(
                target=self._listen, args=(names, self._stop), daemon=True, name="watch files"
            )
            self._thread.start()
        return True

    def _listen(self, folders: list[str], stop: Event) -> None:
        from watchfiles import watch

        try:
            for changes in watch(
                *folders,
                watch_filter=None,
                debounce=_LONGEST_BURST,
                step=_STEP,
                stop_event=stop,
                recursive=self._deep,
                ignore_permission_denied=True,
                raise_interrupt=False,
            ):
                self._wake(path for _, path in changes)
        except Exception as error:  # too many watches, a file system that tells of nothing
            if not stop.is_set():
                self._failed(f"changes of files are found by looking for them only: {error}")

    def close(self) -> None:
        """End the thread."""
        self._stop.set()
        if self._thread:
            self._thread.join(_PATIENCE)
            self._thread = None
        self._folders = frozenset()


def _existing(paths: Iterable[Path]) -> Iterable[tuple[Path, int]]:
    """Yield the folders that exist, each with its inode: a new folder may have an old name."""
    for path in set(paths):
        with suppress(OSError):
            if path.is_dir():
                yield path, path.stat().st_ino


def folders(root: Path, sources: Collection[Source]) -> tuple[set[Path], set[Path]]:
    """Return the folders that files of sources are in, and those that they are somewhere below."""
    shallow, deep = set[Path](), set[Path]()
    for source in sources:
        above = source.pattern.rpartition("/")[0]
        levels = above.split("/")
        fixed = next((n for n, level in enumerate(levels) if has_magic(level)), len(levels))
        folder = "/".join(levels[:fixed]) or ("/" if source.pattern.startswith("/") else "")
        is_deep = fixed < len(levels) or "**" in source.pattern
        (deep if is_deep else shallow).add(root / folder)
    return shallow, deep


def matcher(root: Path, definitions: str, sources: Collection[Source]) -> Callable[[str], bool]:
    """Return whether the file at a full path is of a source, or may be one of the declarations."""
    patterns = [regex_of(escape(str(root)) + "/pyproject.toml")]
    patterns += [file_pattern(root, source) for source in sources]
    matches = re.compile("|".join(patterns)).fullmatch
    declared = f"{root}/{definitions}/"

    def is_wanted(path: str) -> bool:
        if path.startswith(declared):
            parts = path.removeprefix(declared).split("/")
            return not any(part.startswith((".", "__pycache__")) for part in parts)
        return matches(path) is not None

    return is_wanted


def file_pattern(root: Path, source: Source) -> str:
    """Return the regular expression of the full paths of a source's files."""
    if source.pattern.startswith("/"):
        return regex_of(source.pattern)
    return regex_of(f"{escape(str(root))}/{source.pattern}")
