"""The addresses of pages, relative to the page that they are on: they hold behind any path."""

import re
from hashlib import sha256
from pathlib import PurePosixPath
from urllib.parse import quote

from msgspec import Struct

_LONGEST = 60
_UNSAFE = re.compile(r"[^a-z0-9_.-]+")


def slug(text: str) -> str:
    """Return a text as a part of an address and of a file name, different for different texts."""
    plain = _UNSAFE.sub("-", text.lower()).strip("-.")[:_LONGEST]
    if plain == text:
        return plain
    return f"{plain}-{sha256(text.encode(errors='surrogatepass')).hexdigest()[:8]}".lstrip("-")


def may_begin(address: str, text: str) -> bool:
    """Return whether the slug of a text that begins with this one and a space may be `address`."""
    return address.startswith(_UNSAFE.sub("-", text.lower()).strip("-.")[:_LONGEST])


def place(kind: str, name: str | int) -> str:
    """Return where the page about one thing is, seen from the front page."""
    return f"{kind}/{slug(str(name))}"


class Links(Struct, frozen=True, kw_only=True):
    """Addresses of pages as seen from a page `depth` folders deep; `suffix` is that of files.

    A page is a kind and a name: `product/finance.daily_revenue`. `live` pages are served: only
    they can be searched. `actions` are what people may do there, in forms.
    """

    depth: int = 0
    suffix: str = ""
    actions: frozenset[str] = frozenset()

    @property
    def live(self) -> bool:
        """Whether the pages are served."""
        return not self.suffix

    @property
    def root(self) -> str:
        """The way to the front page's folder: "./", "../"."""
        return "../" * self.depth or "./"

    def to(self, kind: str, name: str | int) -> str:
        """Return the address of the page about one thing."""
        return f"{self.root}{quote(place(kind, name))}{self.suffix}"

    def contract(self, name: str) -> str:
        """Return the address of the contract of a product, as a file."""
        return f"{self.root}{quote(place('contract', name))}.json"

    def list(self, kind: str) -> str:
        """Return the address of the page that lists things of a kind."""
        return f"{self.root}{kind}{self.suffix}"

    def front(self) -> str:
        """Return the address of the front page."""
        return f"{self.root}index{self.suffix}" if self.suffix else self.root

    def static(self, name: str) -> str:
        """Return the address of a style sheet, script or picture."""
        return f"{self.root}static/{name}"

    def below(self, page: str) -> "Links":
        """Return the addresses as seen from another page."""
        depth = len(PurePosixPath(page).parts) - 1
        return Links(depth=depth, suffix=self.suffix, actions=self.actions)
