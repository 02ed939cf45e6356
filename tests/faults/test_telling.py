"""kill -9 while people are told: no incident is opened twice, and no message is lost."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.faults import checker
from tests.faults.scenario import MATERIALIZE, Scene, begin, examine
from tests.forge import Forge
from tests.server import Server
from tests.watch.receivers import Posts, posts

pytestmark = pytest.mark.faults
TOLD = "Held back: t.strict"
# Statements at which it is killed, before and after each; a message may come twice after the last.
STATEMENTS = (
    "insert into incidents",
    "insert into notices",
    "tries = tries + 1",
    "set sent",
)


@pytest.fixture
def hook() -> Iterator[Posts]:
    with posts() as server:
        yield server


def scene_of(forge: Forge, folder: Path, hook: Posts, server: Server | None = None) -> Scene:
    """A second generation of which one product is held back, in a project that tells a web hook."""
    scene = begin(forge, folder, "second", server=server)
    settings = scene.origin / "pyproject.toml"
    table = f'[tool.products.notify.hook]\nto = ["{hook.url}"]\n'
    settings.write_text(f"{settings.read_text()}{table}")
    scene.learn()
    subjects = sorted(subject.partition(";")[0] for subject in hook.subjects)
    assert subjects == ["Budget spent: t.strict", TOLD]
    return scene


def killed_at(scene: Scene, hook: Posts, statements: Sequence[str]) -> None:
    for words in statements:
        for after in (False, True):
            hook.received.clear()
            with scene.copy() as root:
                ended = scene.run(root, *MATERIALIZE, at=1, after=after, words=words)
                assert ended.killed, words
                examine(scene, "told", root, ended)
                assert scene.run(root, "notify").code == 0, "what was claimed is tried again"
                told(root, hook, words)


def told(root: Path, hook: Posts, words: str) -> None:
    """Each cause has one incident, and people were told of the held product: once, unless marking that was killed."""
    counts = dict(
        checker.rows(
            root, "select about, count(*) from incidents where closed is null group by about"
        )
    )
    assert "t.strict" in counts and set(counts.values()) == {1}, counts
    notices = (
        "select n.event, count(n.sent), count(*) from notices n"
        " join incidents i on i.id = n.incident where i.about = 't.strict' group by n.event"
    )
    assert checker.rows(root, notices) == [("opened", 1, 1)], words
    most = 2 if words == "set sent" else 1
    assert 1 <= sum(subject.startswith(TOLD) for subject in hook.subjects) <= most, words


def test_killed_while_people_are_told(forge: Forge, tmp_path: Path, hook: Posts) -> None:
    killed_at(scene_of(forge, tmp_path, hook), hook, STATEMENTS)


def test_killed_while_people_are_told_beside_a_server(
    forge: Forge, tmp_path: Path, hook: Posts, server: Server
) -> None:
    killed_at(scene_of(forge, tmp_path, hook, server), hook, STATEMENTS[2:])
