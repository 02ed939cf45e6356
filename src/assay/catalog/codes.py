"""The code that runs built and judged by: what files and declarations were, as text."""

import hashlib
from collections.abc import Callable, Collection, Mapping

from msgspec import Struct, convert
from msgspec.json import decode

from assay.catalog.database import Reader, Writer, rows_in
from assay.catalog.rows import decoded, to_json
from assay.catalog.transactions import Transactions


class CodeTexts(Struct, frozen=True, kw_only=True):
    """A project as a run read it.

    - `digest`: identifies everything that its declarations depend on.
    - `tools`: versions of Python, the engines and libraries, by name.
    - `files`: the text of each file of code, by its path relative to the project.
    - `declared`: each product and source as JSON, by name.
    """

    digest: str
    tools: Mapping[str, str]
    files: Mapping[str, str]
    declared: Mapping[str, str]


class RecordedCode(Struct, frozen=True, kw_only=True):
    """The same as recorded: `files` and `declared` have the digests of texts."""

    digest: str
    tools: Mapping[str, str]
    files: Mapping[str, str]
    declared: Mapping[str, str]


class Codes:
    """What the catalog records of code: facts, which are never changed."""

    def __init__(self, transactions: Transactions) -> None:
        self._database, self._write = transactions.database, transactions.write

    def record(self, run: str, digest: str, read: Callable[[], CodeTexts | None]) -> None:
        """Record by which code a run builds and judges; `read` is called if that is new.

        Nothing is recorded if `read` returns None: the code is another one by now.
        """
        is_new = not _known(self._database, digest)
        texts = read() if is_new else None
        if is_new and texts is None:
            return

        def work(writer: Writer) -> None:
            # gc may have removed it, or another run recorded it, since it was looked up.
            if texts and not _known(writer, digest):
                _add(writer, texts)
            query = "update runs set code = ? where id = ? and exists (select 1 from codes where digest = ?)"
            writer.execute(query, [digest, run, digest])

        self._write(work)

    def of_run(self, run: str) -> RecordedCode | None:
        """Return the code that a run built and judged by; None where it is not recorded."""
        query = (
            "select c.digest, c.tools, c.files, c.declared from codes c"
            " join runs r on r.code = c.digest where r.id = ?"
        )
        with decoded(self._database.name):
            for row in self._database.rows(query, [run]):
                digest, *maps = convert(row, tuple[str, str, str, str])
                tools, files, declared = (decode(text, type=dict[str, str]) for text in maps)
                return RecordedCode(digest=digest, tools=tools, files=files, declared=declared)
        return None

    def texts(self, digests: Collection[str]) -> Mapping[str, str]:
        """Return the texts with these digests, by digest; those that are gone are left out."""
        query = "select digest, content from texts where digest in"
        with decoded(self._database.name):
            rows = rows_in(self._database, query, sorted(set(digests)))
            return {str(digest): str(text) for digest, text in rows}


def text_digest(text: str) -> str:
    """Return the digest of a text: the SHA-256 of its UTF-8."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def forget_codes(writer: Writer) -> None:
    """Remove the code by which no recorded run was done, and the texts that no other code has."""
    unused = "digest not in (select code from runs)"
    if not writer.rows(f"select 1 from codes where {unused} limit 1"):
        return
    writer.execute(f"delete from codes where {unused}")
    used: set[str] = set()
    for row in writer.rows("select files, declared from codes"):
        for text in row:
            used.update(decode(text, type=dict[str, str]).values())
    unused_texts = [(d,) for (d,) in writer.rows("select digest from texts") if d not in used]
    writer.many("delete from texts where digest = ?", unused_texts)


def _known(reader: Reader, digest: str) -> bool:
    return bool(reader.rows("select 1 from codes where digest = ?", [digest]))


def _add(writer: Writer, code: CodeTexts) -> None:
    files = {path: text_digest(text) for path, text in code.files.items()}
    declared = {name: text_digest(text) for name, text in code.declared.items()}
    texts = {files[path]: text for path, text in code.files.items()}
    texts |= {declared[name]: text for name, text in code.declared.items()}
    query = "select digest from texts where digest in"
    known = {digest for (digest,) in rows_in(writer, query, list(texts))}
    new = [(digest, text) for digest, text in texts.items() if digest not in known]
    writer.many("insert into texts values (?, ?) on conflict (digest) do nothing", new)
    row = [code.digest, *(to_json(dict(m)) for m in (code.tools, files, declared))]
    writer.execute("insert into codes values (?, ?, ?, ?)", row)
