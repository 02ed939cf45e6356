"""What `products check` found, in the format that was asked for."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from msgspec import Struct

from assay.errors import DeclarationError
from assay.model import Product
from assay.text import clean
from assay.views.check import CheckView, FindingKind, FindingView, Level
from assay.views.formats.check_summary import check_summary
from assay.views.formats.checks import check_report
from assay.views.formats.github import github_lines
from assay.views.formats.gitlab import code_quality
from assay.views.formats.junit import junit
from assay.views.formats.sarif import sarif
from assay.views.json_text import to_json
from assay.views.words.check import check_lines


class Checked(Struct, frozen=True, kw_only=True):
    """The findings about these products, of a project in this folder of its repository."""

    view: CheckView
    products: tuple[Product, ...] = ()
    folder: str = ""

    def text(self, format: str) -> str:
        """Return the findings in one of FORMATS."""
        return FORMATS[format](self)


FORMATS: Mapping[str, Callable[[Checked], str]] = {
    "text": lambda checked: _lines(clean(line) for line in check_lines(checked.view)),
    "json": lambda checked: _json(checked.view),
    "github": lambda checked: _lines(github_lines(checked.view, checked.folder)),
    "gitlab": lambda checked: _json(code_quality(checked.view, checked.folder)),
    "junit": lambda checked: junit(check_report(checked.view, checked.products, checked.folder)),
    "markdown": lambda checked: check_summary(checked.view, checked.folder),
    "sarif": lambda checked: _json(sarif(checked.view, checked.folder)),
}
PLAIN = frozenset({"text", "json"})  # formats in which mistakes of declarations are only an error


def mistakes(error: DeclarationError) -> CheckView:
    """Return the mistakes of declarations as findings: a report without them would look good."""
    findings = (
        FindingView(
            kind=FindingKind.DECLARATION,
            level=Level.ERROR,
            name="",
            what=f"{problem.what}\n{problem.hint}" if problem.hint else problem.what,
            file=problem.where.file,
            line=problem.where.line,
        )
        for problem in error.problems
    )
    return CheckView(checked=0, findings=tuple(findings))


def _lines(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _json(value: Any) -> str:
    return f"{to_json(value, indent=2)}\n"
