"""Writes a test of a product from a few rows of what it reads now, with what comes of them."""

import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from msgspec import Struct

from assay.build.evidence import never_shown
from assay.build.inputs import Inputs, inputs_as_of_now
from assay.build.workspace import Workspace
from assay.config import Config
from assay.errors import UsageError
from assay.model import Kind, Product
from assay.plan.graph import Graph
from assay.testing.cases import SUFFIX, read_file
from assay.testing.columns import columns_of
from assay.testing.disguise import disguised
from assay.testing.folders import folder
from assay.testing.results import GeneratedView
from assay.testing.running import TookTooLong, run_case, within
from assay.testing.sample import Sample, samples
from assay.testing.secrets import hidden_in
from assay.testing.trial import Trial, followed_by, needs_moment
from assay.testing.tried import Tried
from assay.testing.writing import csv_text, toml_name, toml_text
from assay.times import shown_while

_MOST = 200  # rows that a test expects; more are nothing that anybody reads
_TEST = "a sample of what it reads"


class _Draft(Struct, frozen=True, kw_only=True):
    """A test that is not written yet; `inputs` are CSV text, by name."""

    product: Product
    inputs: Mapping[str, str]
    masked: Sequence[str]
    now: datetime | None


def generate(workspace: Workspace, name: str, *, rows: int, timeout: float) -> GeneratedView:
    """Write a test of a product beside its declaration, and return what is in it.

    Of each input, up to `rows` rows are taken of what is published, and sensitive values are
    masked. The test is run before it is left there. Raises UsageError if there is such a file, and
    for products of which no test can be made; nothing is written then.
    """
    graph, config = workspace.graph, workspace.config
    product = graph.products[graph.resolve(name)]
    file = config.root / _path_of(product, config)
    if os.path.lexists(file):
        raise UsageError(
            f"{_path_of(product, config)} is there already, and is not overwritten",
            hint="Rename it, or remove it.",
        )
    if product.kind is Kind.QUARANTINE:
        raise UsageError(f"{product.name} is made of what rules set aside: test that product")
    draft = _draft(workspace, product, rows)
    with folder() as at:
        text = _text(draft, _built(workspace, draft, at, timeout))
    _write_new(file, text)
    try:
        _check(workspace, file, timeout)
    except BaseException:
        file.unlink()
        raise
    return GeneratedView(
        product=product.name,
        test=_TEST,
        file=_path_of(product, config),
        rows={name: text.count("\n") - 1 for name, text in draft.inputs.items()},
        masked=tuple(draft.masked),
    )


def _path_of(product: Product, config: Config) -> str:
    """Return the path of the new file, from the project's folder: beside the declaration."""
    folder = Path(product.where.file).parent
    if not folder.is_relative_to(config.definitions):
        folder = Path(config.definitions)
    return str(folder / f"{product.bare}.sample{SUFFIX}")


def _draft(workspace: Workspace, product: Product, rows: int) -> _Draft:
    observed = workspace.observe()
    inputs, _ = inputs_as_of_now(workspace, observed)
    followed = followed_by(product)
    names = {i.name: i.name in followed for i in product.inputs}
    patterns = {name: _patterns(workspace.graph, inputs, name) for name in names}
    cleared = {name: _cleared(workspace.graph, name) for name in names}
    real = samples(workspace.graph, inputs, names, rows)
    with folder() as at:
        hidden = hidden_in(real, workspace.graph, inputs, at)
    patterns = {name: patterns[name] | hidden[name] for name in names}
    taken, masked = disguised(real, patterns, cleared)
    declared = columns_of(workspace.graph, names)
    texts = {
        name: _csv(sample, {column.name for column in declared[name]})
        for name, sample in taken.items()
    }
    moment = observed.now.replace(microsecond=0) if needs_moment(product) else None
    return _Draft(product=product, inputs=texts, masked=masked, now=moment)


def _patterns(graph: Graph, inputs: Inputs, name: str) -> frozenset[str]:
    """Return the patterns of the columns of an input that are sensitive, here or downstream."""
    if name in graph.sources:
        return graph.sensitive_in_source(name)
    patterns = graph.sensitive(name)
    product = graph.products.get(name)
    if product is None or inputs.observed.facts.pointer(name) is None:
        return patterns
    return patterns | never_shown(inputs, product, inputs.published(name).table)


def _cleared(graph: Graph, name: str) -> frozenset[str]:
    """Return the patterns of columns of an input that are declared to be harmless."""
    products = [name] if name in graph.products else graph.below.get(name, ())
    cleared = (graph.products[product].contract.cleared for product in products)
    return frozenset[str]().union(*cleared)


def _csv(sample: Sample, declared: set[str]) -> str:
    """Return the rows of a sample; declared columns that are null in all of them are left out."""
    names = list(sample.columns)
    kept = [
        n
        for n, name in enumerate(names)
        if name not in declared or any(row[n] is not None for row in sample.rows)
    ] or [0]
    rows = [[row[n] for n in kept] for row in sample.rows]
    return csv_text([names[n] for n in kept], rows)


def _built(workspace: Workspace, draft: _Draft, at: Path, timeout: float) -> Tried:
    """Build the product from the rows that are written; UsageError if that gives no test."""
    name = draft.product.name
    trial = Trial(product=name, inputs=draft.inputs, now=draft.now)
    try:
        tried = within(timeout, lambda: trial.build(workspace.project, at), name)
    except TookTooLong:
        raise UsageError(f"{name} took longer than {shown_while(timeout)}") from None
    if tried.error:
        masked = f" {', '.join(draft.masked)} are masked." if draft.masked else ""
        raise UsageError(
            f"{name} cannot be built from a sample of what it reads: {tried.error}",
            hint=f"Write the test by hand.{masked}",
        )
    return tried


def _text(draft: _Draft, tried: Tried) -> str:
    """Return the text of the test file."""
    product = draft.product
    masked = f" Masked: {', '.join(draft.masked)}." if draft.masked else ""
    lines = [
        f"# Rows that {product.name} read, and what came of them: look through them, and keep what"
        " shows something.",
        *([f"#{masked}"] if masked else []),
        f"product = {toml_name(product.name)}",
        "",
        f"[{toml_name(_TEST)}]",
    ]
    if draft.now:
        lines.append(f"now = {draft.now:%Y-%m-%dT%H:%M:%SZ}")
    lines += [
        f"inputs.{toml_name(name)} = {toml_text(text)}" for name, text in draft.inputs.items()
    ]
    lines.append(f"expect = {toml_text(_expected(product, tried))}")
    return "\n".join(lines) + "\n"


def _expected(product: Product, tried: Tried) -> str:
    if tried.path is not None:
        try:
            text = tried.path.read_bytes().decode("utf-8")
        except UnicodeDecodeError:
            raise UsageError(
                f"{product.name} is no text file: write the test by hand",
                hint='expect = "FILE" compares with a file.',
            ) from None
        return text if text.endswith("\n") else f"{text}\n"
    frame = tried.frame
    assert frame is not None
    if frame.height > _MOST:
        raise UsageError(
            f"{frame.height} rows come of the sample, and a test of more than {_MOST} says little",
            hint="Take fewer rows of the inputs with --rows.",
        )
    return csv_text(
        frame.columns, frame.sort(frame.columns).rows() if _sortable(tried) else frame.rows()
    )


def _sortable(tried: Tried) -> bool:
    return tried.frame is not None and not any(t.is_nested() for t in tried.frame.dtypes)


def _write_new(file: Path, text: str) -> None:
    """Write a file that is not there."""
    try:
        with file.open("x", encoding="utf-8", newline="\n") as out:
            out.write(text)
    except FileExistsError:
        raise UsageError(f"{file} is there already, and is not overwritten") from None


def _check(workspace: Workspace, file: Path, timeout: float) -> None:
    """Run the new test; UsageError if it does not pass: the product gives something else each time."""
    [case] = read_file(workspace.config, workspace.graph, file)
    view = run_case(workspace.project, case, timeout)
    if view.result != "passed":
        raise UsageError(
            f"{case.product} gave something else the second time: {'; '.join(view.problems)}",
            hint="What depends on chance or on the order of rows cannot be tested so.",
        )
