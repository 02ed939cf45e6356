"""How many rows may break a declared rule before it warns and before it fails."""

from assay.amounts import amount
from assay.declare.names import Names
from assay.declare.words import RuleDeclaration
from assay.model import Where

_PER_ROW = {"check", "references"}
_COUNTING = {*_PER_ROW, "sql"}


def read_limits(
    declared: RuleDeclaration, label: str, where: Where, names: Names
) -> tuple[str, str]:
    """Return above how many failing rows a rule warns, and fails; '' for never.

    Problems are reported to `names`; `label` names the rule in them.
    """
    declared_limits = {"warn_above": declared.warn_above, "fail_above": declared.fail_above}
    given = {keyword: value for keyword, value in declared_limits.items() if value != ""}
    limits = {
        keyword: _read_limit(keyword, value, label, where, names)
        for keyword, value in given.items()
    }
    warn_above, fail_above = limits.get("warn_above", ""), limits.get("fail_above", "")
    is_warning = declared.severity == "warning"
    if given and declared.kind not in _COUNTING:
        message = f"{label} counts no rows, so {' and '.join(given)} mean nothing"
        names.report(message, where)
    if is_warning and "fail_above" in given:
        message = f"{label} is a warning, and has fail_above="
        names.report(message, where, "Leave one of them out.")
    if not given:
        warn_above, fail_above = ("0", "") if is_warning else ("", "0")
    if warn_above and fail_above and _is_above(warn_above, fail_above):
        names.report(f"{label}: warn_above= is more than fail_above=, so it never warns", where)
    if declared.on_failure == "quarantine":
        _check_quarantine(declared, label, where, names)
        warn_above = warn_above or "0"
    return warn_above, fail_above


def _read_limit(keyword: str, value: int | str, label: str, where: Where, names: Names) -> str:
    text = ""
    try:
        limit = amount(value)
        text = str(limit)
        if limit.percent and limit.number > 100:
            names.report(f"{label}: {keyword}={value!r} is more than all rows", where)
        if not limit.percent and limit.number != int(limit.number):
            hint = f'A share is written "{limit.number * 100:f} %".'
            names.report(f"{label}: {keyword}={value!r} is no number of rows", where, hint)
    except (ValueError, ArithmeticError):
        hint = 'Write rows (10) or a share ("0.5 %").'
        names.report(f"{label}: {keyword}={value!r}", where, hint)
    return text


def _check_quarantine(declared: RuleDeclaration, label: str, where: Where, names: Names) -> None:
    if declared.kind not in _PER_ROW:
        hint = "Rows can be set aside by rule.check() and rule.references()."
        message = f"{label} is not about single rows, so it cannot quarantine"
        names.report(message, where, hint)
    if declared.fail_above == "":
        hint = 'Say how much is too much: fail_above="1 %".'
        names.report(f"{label} quarantines without a bound", where, hint)


def _is_above(first: str, second: str) -> bool:
    """Return True if one limit is more than another; rows and shares cannot be compared."""
    one, two = amount(first), amount(second)
    return one.percent == two.percent and one.number > two.number
