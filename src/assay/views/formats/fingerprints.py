"""What identifies a finding from one run to the next, so that it is one alert."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from hashlib import sha256

from assay.views.check import FindingView

_PLACE = re.compile(r":\d+(?::\d+)?\b|\bline \d+")  # numbers that change when lines move


def fingerprints(findings: Iterable[FindingView]) -> Iterator[tuple[FindingView, str]]:
    """Yield each finding with its fingerprint, such as "651087dfdde30c87:1".

    It is that of its kind, product, column or rule, and text, without line numbers. Findings that
    are alike in all of these are numbered.
    """
    seen: Counter[str] = Counter()
    for finding in findings:
        what = _PLACE.sub("", finding.what)
        text = "\0".join([finding.kind, finding.name, finding.of, what])
        digest = sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:16]
        seen[digest] += 1
        yield finding, f"{digest}:{seen[digest]}"
