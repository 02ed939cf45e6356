"""Pictures of six pages in `docs/pictures`: the example before, in and after the night in which a drop came too early.

    python -m benchmarks.screenshots [--to docs/pictures]

Needs Chromium. The moments are fixed (`--now`); the ids of versions differ each time.
"""

import argparse
import io
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmarks.measure import ROOT
from benchmarks.pipeline import put

EARLY, WHOLE = "2011-12-09.at-0920.csv.gz", "2011-12-09.csv.gz"
MOST = 120 * 1024  # bytes of a picture
_DROP = "fixtures/retail/2011-12-09.csv.gz"
_MOMENTS = {"evening": "2011-12-09T07:30:00", "night": "2011-12-10T07:30:00"}


@dataclass(frozen=True)
class Shot:
    """A picture: of which page, in which night, how wide, and from which heading on."""

    name: str
    when: str
    page: str
    width: int = 900
    height: int = 640
    begin: str = ""
    scheme: Literal["light", "dark"] = "light"


SHOTS = (
    Shot("night", "night", "product/finance.month_close", height=600),
    Shot("front", "night", "index", height=700),
    Shot("held", "night", "product/finance.daily_revenue", height=900),
    Shot("lineage", "night", "product/finance.daily_revenue", begin="#lineage", height=560),
    Shot("source", "night", "source/sales.raw_sales", height=700, scheme="dark"),
    Shot("phone", "evening", "product/finance.daily_revenue", width=390, height=760),
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--to", type=Path, default=ROOT / "docs/pictures", help="the folder")
    told = parser.parse_args()
    told.to.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "shop"
        sites = dict(_nights(place))
        for shot, picture in _taken(sites, SHOTS):
            file = told.to / f"{shot.name}.png"
            file.write_bytes(_small(picture))
            size = file.stat().st_size
            print(f"{file}  {size / 1024:.0f} KiB")
            if size > MOST:
                raise SystemExit(f"{file} is larger than {MOST // 1024} KiB")


def _small(picture: bytes) -> bytes:
    """Return a PNG in a palette of 96 colours, which is a third of its size."""
    from PIL import Image  # matplotlib brings it

    small = io.BytesIO()
    Image.open(io.BytesIO(picture)).convert("RGB").quantize(96, dither=Image.Dither.NONE).save(
        small, "PNG", optimize=True
    )
    return small.getvalue()


def _nights(place: Path) -> Iterator[tuple[str, Path]]:
    """Yield the pages of the evening before, and of the night in which the drop is held back."""
    for name in ("products", "fixtures"):
        shutil.copytree(ROOT / name, place / name)
    put(place / "pyproject.toml", "[tool.products]\n")
    _products(place, "materialize", "--now", "2011-12-09T06:40:00")
    yield "evening", _pages(place, "evening")
    shutil.copy(place / "fixtures/nights" / EARLY, place / _DROP)
    _products(place, "materialize", "--now", "2011-12-10T06:40:00", code=3)
    yield "night", _pages(place, "night")


def _pages(place: Path, when: str) -> Path:
    site = place / f"site-{when}"
    _products(place, "docs", "--to", site.name, "--now", _MOMENTS[when])
    return site


def _products(place: Path, *words: str, code: int = 0) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "assay", *words],
        cwd=place,
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode != code:
        raise SystemExit(f"{words} ended with {ran.returncode}:\n{ran.stdout}{ran.stderr}")


def _taken(sites: dict[str, Path], shots: Sequence[Shot]) -> Iterator[tuple[Shot, bytes]]:
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        for shot in shots:
            page = browser.new_page(
                viewport={"width": shot.width, "height": shot.height}, color_scheme=shot.scheme
            )
            page.goto((sites[shot.when] / f"{shot.page}.html").as_uri())
            if shot.begin:
                page.locator(shot.begin).evaluate("it => it.scrollIntoView()")
            yield shot, page.screenshot()
            page.close()
        browser.close()


if __name__ == "__main__":
    main()
