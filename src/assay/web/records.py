"""What is put together when somebody asks for it: the record of a product, and its evidence."""

from pathlib import Path
from tempfile import mkdtemp

from assay.archive.collect import Options
from assay.archive.write import write_evidence
from assay.plan.record import Period
from assay.views.record import RecordView, records_of
from assay.views.words.record import record_lines
from assay.web.links import place
from assay.web.look import Look, product_at, workspace_of
from assay.web.rendering import Page


def record_page(look: Look, name: str) -> Page | None:
    """Return the page with the record of a product, this month and the one before; None for none."""
    full = product_at(look, name)
    if full is None:
        return None
    with workspace_of(look) as workspace:
        [view] = records_of(workspace, [full], Period(None, None))
    return page_of_record(view)


def page_of_record(view: RecordView) -> Page:
    """Return the page of a record."""
    return Page(
        path=place("record", view.product),
        title=f"Record of {view.product}",
        template="record.html",
        values={"product": view.product, "lines": list(record_lines(view))},
    )


def evidence_of(look: Look, name: str) -> Path | None:
    """Write the evidence of what is published into a folder of its own; None if nothing is.

    The caller removes the folder. Raises UsageError for what cannot be collected.
    """
    full = product_at(look, name)
    if full is None or full not in look.pointers:
        return None
    file = Path(mkdtemp(prefix="assay-evidence-")) / "evidence.zip"
    with workspace_of(look) as workspace:
        write_evidence(workspace, full, Options(), file)
    return file
