"""Names that users type: which product, source or rule is meant, and what a misspelled name may have meant."""

from collections.abc import Collection, Iterable

from assay.errors import UsageError
from assay.model import Product, Rule


def full_name(name: str, names: Collection[str]) -> str:
    """Return the one of `names` that is `name`, in full or without its domain; '' for none.

    Raises UsageError when several names match.
    """
    if name in names:
        return name
    matches = [full for full in names if full.partition(".")[2] == name]
    if len(matches) > 1:
        raise UsageError(
            f"{name!r} could be {' or '.join(sorted(matches))}", hint="Give the name in full."
        )
    return matches[0] if matches else ""


def nearest(name: str, names: Iterable[str]) -> str:
    """Return a hint with the most similar of `names` ("Did you mean …?"); '' when none is similar."""
    from difflib import get_close_matches

    by_bare = {full.partition(".")[2] or full: full for full in names}
    by_full = {full: full for full in by_bare.values()}
    candidates = by_full if "." in name else by_bare
    close = get_close_matches(name, candidates, n=1, cutoff=0.6)
    return f"Did you mean {candidates[close[0]]}?" if close else ""


def close(name: str, names: Iterable[str]) -> list[str]:
    """Return the most similar of `names`, in any case, or that name a part of it; [] for none."""
    from difflib import get_close_matches

    by_lower = {each.lower(): each for each in names}
    lower = name.lower()
    similar = get_close_matches(lower, by_lower, n=1, cutoff=0.6)
    words = set(lower.split("_"))
    similar = similar or [each for each in by_lower if words & {*each.split("_")}][:1]
    return [by_lower[each] for each in similar]


def _similar(words: str, texts: Iterable[str]) -> str:
    """Return a hint with the text of which a part is most similar to `words`; '' when none is."""
    from difflib import get_close_matches

    parts: dict[str, str] = {}
    for text in texts:
        starts = [0, *(at + 1 for at, letter in enumerate(text) if letter == " ")]
        parts |= {text[at : at + len(words)].lower(): text for at in starts}
    similar = get_close_matches(words.lower(), parts, n=1, cutoff=0.75)
    return f"Did you mean {parts[similar[0]]!r}?" if similar else ""


def rule_of(product: Product, words: str) -> Rule:
    """Return the rule of a product with this text, or the only rule whose text contains it (in any case).

    Raises UsageError when no rule matches, or several do.
    """
    rules = product.contract.rules
    matches = [rule for rule in rules if rule.text == words]
    if not matches:
        matches = [rule for rule in rules if words.lower() in rule.text.lower()]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise UsageError(
            f"{words!r} could be several rules of {product.name}",
            hint="; ".join(rule.text for rule in matches),
        )
    texts = [rule.text for rule in rules]
    hint = _similar(words, texts) or f"It has: {'; '.join(texts)}"
    raise UsageError(
        f"{product.name} has no rule {words!r}", hint=hint if texts else "It has none."
    )
