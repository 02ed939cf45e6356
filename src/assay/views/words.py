"""Says in words, and as data, what was decided or done for a product; text and JSON come from the same values."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct

from assay.decisions import Blocked, Build, Check, Decision, Held, Keep, Maybe, Publish, WhyWhole
from assay.events import Busy, End, Failed, Left, Result, Retrying, Unfinished, held_parts
from assay.model import (
    PREVIOUS,
    THIS,
    Freshness,
    Product,
    Rule,
    RuleResult,
    Status,
    Verdict,
    Version,
    short,
)
from assay.plan.digests import key_of
from assay.plan.graph import Graph
from assay.plan.observed import Facts
from assay.plan.parts import shown, some_parts
from assay.sensitive import HIDDEN, secret
from assay.text import clean

_SOME = 3  # names that a warning lists

_COMPARED = re.compile(
    r"_(before|after|difference)_*$"
)  # what a rule that compares calls values of a column


class Story(Struct, frozen=True):
    """Tells of products with what the graph and the recorded facts say around them."""

    graph: Graph
    facts: Facts

    def of(self, result: Result) -> dict[str, Any]:
        """Return a result as plain data: the word for it, and all that its lines say."""
        told = self.decided(result.product, result.end, result.whole)
        if result.unmade:
            told["held_parts"] = [
                part for part in told.get("held_parts", ()) if part["part"] not in result.unmade
            ]
            told["failed_parts"] = [
                {
                    "part": part,
                    "error": failed.error,
                    "detail": failed.detail,
                    "tries": failed.tries,
                }
                for part, failed in result.unmade.items()
            ]
        if result.reasons and not told.get("reasons"):
            told["reasons"] = [str(reason) for reason in result.reasons]
        if result.parts_built:
            told["parts"] = {"built": result.parts_built[0], "of": result.parts_built[1]}
        if result.undeclared:
            told["undeclared"] = list(result.undeclared)
        return {**told, "built": result.built, "judged": result.judged, "seconds": result.seconds}

    def retrying(self, event: Retrying) -> dict[str, Any]:
        """Return what will be tried again, and when, as plain data."""
        told = {"in_seconds": round(event.seconds, 1), "number": event.number, "of": event.of}
        return {"product": event.product, "result": "retrying", "error": event.error, **told}

    def decided(self, name: str, end: End, whole: Version | None = None) -> dict[str, Any]:
        """Return a decision as plain data; `whole` is what was judged before parts were held back, where known."""
        told: dict[str, Any] = {
            "product": name,
            "result": word(end),
            **self._held_parts(name, end, whole),
        }
        match end:
            case Publish(version=version, verdict=verdict):
                told |= {
                    "version": version.id,
                    "rows": version.rows,
                    "size": size(version),
                    **self._judged(name, verdict),
                }
                told |= _moment("data_as_of", version.data_as_of)
            case Keep(version=version, pinned=pinned):
                told |= {"version": version.id, "rows": version.rows, "pinned": pinned}
                told |= _moment("data_as_of", version.data_as_of)
            case Blocked(version=version, verdict=verdict) as blocked:
                told |= {"version": version.id, "rows": version.rows, **self._judged(name, verdict)}
                told |= {"readers": self.readers(name), "affects": self.affected(name)}
                told |= self._held_whole(name, blocked)
            case Held(by=by):
                told |= {"waits_for": dict(by), "readers": self.readers(name)}
            case Failed(error=error, detail=detail, tries=tries):
                told |= {
                    "error": error,
                    "detail": detail,
                    "tries": tries,
                    "readers": self.readers(name),
                }
            case Unfinished(parts_made=there, of=of):
                told |= {"parts_there": there, "of": of, "readers": self.readers(name)}
            case Busy(holder=holder):
                told |= {
                    "run": holder.run,
                    "host": holder.host,
                    "pid": holder.pid,
                    **_moment("since", holder.since),
                }
                told |= {
                    "because": f"another run builds it: {holder}",
                    "readers": self.readers(name),
                }
            case Build(reasons=reasons, part_digests=parts):
                told |= {"reasons": [str(reason) for reason in reasons], **self._parts(name, parts)}
            case Check(version=version):
                pointer = self.facts.pointer(name)
                again = pointer is not None and pointer.version == version.id
                why = (
                    "its rules, or what they read, changed"
                    if again
                    else "built, not judged under today's rules yet"
                )
                told |= {"version": version.id, "reasons": [why]}
            case Maybe(inputs=inputs, part_digests=parts):
                told |= {
                    "reasons": [f"depends on what becomes of {', '.join(inputs)}"],
                    **self._parts(name, parts),
                }
        return told

    def planned(self, name: str, decision: Decision) -> dict[str, Any]:
        """Return a decision of a plan as plain data."""
        told = self.decided(name, decision)
        if told["result"] == "published":
            return {**told, "result": "publish", "reasons": ["judged good before; not built again"]}
        return told

    def _parts(self, name: str, parts: Mapping[str, str]) -> dict[str, Any]:
        """Return which parts would be built, and about how long that takes (seconds), by those built before."""
        todo = [key for key, digest in parts.items() if not digest]
        latest = self.facts.latest(name) if todo else None
        took = [part.seconds for part in latest.parts if part.seconds] if latest else []
        about = {"about_seconds": round(sum(took) / len(took) * len(todo), 2)} if took else {}
        return {"parts": {"to_build": todo, "of": len(parts), **about}} if parts else {}

    def _held_whole(self, name: str, blocked: Blocked) -> dict[str, str]:
        """Return why a product that could hold parts is held as a whole, and what to do about it."""
        last, partition = blocked.without or blocked, self.graph.products[name].partition
        failed = last.verdict.failed_parts
        match blocked.why_whole:
            case None:
                return {}
            case WhyWhole.UNNAMED:
                column = partition.names[0] if partition else ""
                return {
                    "whole_because": _unnamed(last),
                    "whole_hint": self._how_to_name(name, last, column),
                }
            case WhyWhole.NOTHING_LEFT:
                return {"whole_because": "every part failed, and readers have none of them yet"}
            case WhyWhole.SPLIT:
                told = f"what readers have of {some_parts(failed)} is split by something else, so it cannot stand in"
            case WhyWhole.COLUMNS:
                told = f"what readers have of {some_parts(failed)} has other columns, so it cannot stand in"
        hint = f"Mend {some_parts(failed)}, or let the rule warn until they are."
        return {"whole_because": told, "whole_hint": hint}

    def _how_to_name(self, name: str, blocked: Blocked, column: str) -> str:
        """Return how rules that failed can say which parts they failed for."""
        rules = {rule.text: rule for rule in self.graph.products[name].contract.rules}
        failed = [
            rules[result.text] for result in _without_parts(blocked.verdict) if result.text in rules
        ]
        if any(rule.compares and not rule.dated for rule in failed):
            return f'A rule that compares says so with by=["{column}"].'
        return (
            f"A rule.sql says so when its query returns {column}."
            if any(rule.sql for rule in failed)
            else ""
        )

    def _held_parts(self, name: str, end: object, whole: Version | None) -> dict[str, Any]:
        """Return the parts that are held back of what readers see, and the rules that hold them."""
        held = held_parts(end)
        if not held:
            return {}
        assert isinstance(end, Publish | Keep)
        key = end.version.key
        whole = whole or self.facts.find(name, key_of(key.code, key.inputs).digest)
        verdict = (
            self.facts.failed(whole.id, self.graph.products[name].contract.digest)
            if whole
            else None
        )
        failed = (
            {r.text for r in verdict.results if r.status is Status.FAILED} if verdict else set()
        )
        rules = self._judged(name, verdict)["rules"] if verdict else []
        told = [
            {"part": part, "readers_keep_before": bool(digest)} for part, digest in held.items()
        ]
        by = [rule for rule in rules if rule["text"] in failed]
        return {"held_parts": told, "held_by": by, "affects": self.affected(name)}

    def _judged(self, name: str, verdict: Verdict) -> dict[str, Any]:
        """Return what did not pass; who answers for a rule and why it matters are as they are said today."""
        rules = {rule.text: rule for rule in self.graph.products[name].contract.rules}
        shown = [
            r for r in verdict.results if r.status in {Status.FAILED, Status.ERROR, Status.WARNING}
        ]
        return {
            "verdict": str(verdict.status),
            "rule_count": len(verdict.results),
            "rules": [
                {**judged_rule(r, self._hide(name, rules.get(r.text))), **_today(rules.get(r.text))}
                for r in shown
            ],
        }

    def made_of_held(self, names: Iterable[str]) -> dict[str, list[str]]:
        """Return the products, of these, that readers see made of parts which stand for others, and whose parts."""
        found: dict[str, list[str]] = {}
        for name in names:
            pointer = self.facts.pointer(name)
            if pointer and self.facts.version(pointer.version).key.held:
                for below in self.graph.downstream(name):
                    found.setdefault(below, []).append(name)
        return found

    def readers(self, name: str) -> dict[str, Any] | None:
        """Return what readers see of a product now."""
        pointer = self.facts.pointer(name)
        if pointer is None:
            return None
        return readers_see(self.facts.version(pointer.version))

    def _hide(self, name: str, rule: Rule | None) -> frozenset[str]:
        """Return the patterns of columns in a rule's samples not to be shown: they may have been marked since."""
        product = self.graph.products[name]
        read = (
            {i.name for i in rule.inputs}
            if rule and not rule.demand
            else {name, *product.rule_inputs}
        )
        return frozenset[str]().union(
            *(self.graph.sensitive(name if r in {THIS, PREVIOUS} else r) for r in read)
        )

    def affected(self, name: str) -> list[str]:
        """Return who decides from a product or from anything made of it, and what."""
        names = [n for n in self.graph.order if n == name or n in self.graph.downstream(name)]
        found: dict[str, list[str]] = {}
        for product in (self.graph.products[n] for n in names):
            due = f", due {product.freshness.by}" if product.freshness else ""
            for consumer in product.consumers:
                decides = found.setdefault(consumer.name, [])
                decides += [f"{consumer.decides}{due}"] if consumer.decides else []
        return [
            f"{name} ({'; '.join(dict.fromkeys(d))})" if d else name for name, d in found.items()
        ]


def word(end: End) -> str:
    """Return the word for how a product came out, or would."""
    words = {
        Publish: "published",
        Keep: "unchanged",
        Blocked: "held back",
        Held: "held",
        Failed: "failed",
        Left: "left",
        Build: "build",
        Check: "check",
        Maybe: "maybe",
        Unfinished: "unfinished",
        Busy: "busy",
    }
    return words[type(end)]


def lines(told: Mapping[str, Any], width: int) -> list[str]:
    """Return what a user reads of a result: one line, why below it where something is wrong, and warnings."""
    return [*_lines(told, width), *_undeclared(told)]


def _undeclared(told: Mapping[str, Any]) -> list[str]:
    """Return the warning about what the code of a product read that is no input of it."""
    read = told.get("undeclared", ())
    if not read:
        return []
    more = f" and {len(read) - _SOME} more" if len(read) > _SOME else ""
    which = (
        "which is no input: a change of it goes"
        if len(read) == 1
        else "which are no inputs: a change of them goes"
    )
    what = f"warning: {told['product']} reads {', '.join(read[:_SOME])}{more}, {which} unnoticed"
    todo = (
        f'declare it with source.file("{read[0]}"), or list it in reads'
        if read[0][0] != "$"
        else "list it in reads"
    )
    return [f"{'':13}{clean(line)}" for line in (what, f"{todo} (pyproject.toml)")]


def _lines(told: Mapping[str, Any], width: int) -> list[str]:
    version = short(told.get("version", ""))
    head = f"  {told['result']:<10} {told['product']:<{width}}  {version:<7}  "
    match told["result"]:
        case "published":
            built = f"{told['seconds']:.1f} s" if told.get("built") else "not built again"
            parts = [told["size"], built, _in_parts(told), ", ".join(told.get("reasons", ()))]
            return [
                head + "   ".join(p for p in parts if p),
                *_rule_lines(told),
                *_held_lines(told),
            ]
        case "unfinished":
            said = f"{told['parts_there']} of {told['of']} parts are there; it is judged and published when all are"
            return [f"{head}{said}"]
        case "held back":
            failed = [r for r in told["rules"] if r["status"] in {"failed", "error"}]
            return [
                f"{head}{_counted(failed, told['rule_count'])}; {_readers(told)}",
                *(
                    [f"{'':13}held as a whole: {clean(told['whole_because'])}"]
                    if told.get("whole_because")
                    else []
                ),
                *([f"{'':15}{clean(told['whole_hint'])}"] if told.get("whole_hint") else []),
                *_rule_lines(told),
                *_failed_lines(told),
                *_affects(told),
            ]
        case "held":
            return [
                f"{head}waits: {clean('; '.join(told['waits_for'].values()))}; {_readers(told)}"
            ]
        case "failed":
            detail = [f"{'':13}{line}" for line in str(told["detail"]).splitlines()[:5]]
            error, *more = clean(told["error"], keep_lines=True).splitlines() or [""]
            tried = [f"{'':13}tried {told['tries']} times"] if told["tries"] > 1 else []
            return [
                f"{head}{error}",
                *(f"{'':13}{line}" for line in more),
                *map(clean, detail),
                *tried,
            ]
        case "busy":
            return [f"{head}{clean(told['because'])}; {_readers(told)}"]
        case "retrying":
            when = f"in {told['in_seconds']:.1f} s" if told["in_seconds"] else "now"
            error = clean(told["error"].partition("\n")[0])
            return [f"{head}{when}: {error}; {told['number']} of {told['of']}"]
        case "left":
            return [f"{head}not finished; the next run goes on from here"]
        case "unchanged":
            unpin = f"pinned; `products restore {told['product']} --unpin` lets it move again"
            pinned = unpin if told.get("pinned") else ""
            judged = (
                "judged again under changed rules, or what they read, and passed"
                if told.get("judged")
                else ""
            )
            return [f"{head}{pinned or judged}".rstrip(), *_held_lines(told)]
    return [
        head + "   ".join(p for p in (_in_parts(told), ", ".join(told.get("reasons", ()))) if p)
    ]


def _in_parts(told: Mapping[str, Any]) -> str:
    """Return how many parts were built, or would be."""
    parts = told.get("parts")
    if not parts:
        return ""
    count = parts["built"] if "built" in parts else len(parts["to_build"])
    about = (
        f" (about {parts['about_seconds']:.1f} s)" if parts.get("about_seconds", 0) >= 0.1 else ""
    )
    most = "at most " if told["result"] == "maybe" else ""
    return f"{most}{count:,} of {parts['of']:,} parts{about}"


def _held_lines(told: Mapping[str, Any]) -> list[str]:
    """Return which parts are held back, and why."""
    found = []
    for keeps, words in (
        (True, "readers keep what they had of it"),
        (False, "readers have nothing of it yet"),
    ):
        held = [p["part"] for p in told.get("held_parts", ()) if p["readers_keep_before"] is keeps]
        if held:
            what = f"{len(held)} part{'s' if len(held) > 1 else ''}"
            found.append(f"{'':13}held back: {what} ({clean(some_parts(held))}); {words}")
    found += _rule_lines({**told, "rules": told.get("held_by", ())})
    found += _failed_lines(told)
    return [*found, *(_affects(told) if found else [])]


def _failed_lines(told: Mapping[str, Any]) -> list[str]:
    """Return which parts could not be made, and why."""
    found = []
    for part in told.get("failed_parts", ())[:5]:
        said = clean(part["error"], keep_lines=True).splitlines() or [""]
        error, *more = [line for line in said if not line.startswith("It was making part ")] or [""]
        found += [
            f"{'':13}failed: {clean(part['part'])}: {error}",
            *(f"{'':15}{line}" for line in more),
        ]
        found += [f"{'':15}{clean(line)}" for line in str(part["detail"]).splitlines()[:5]]
    if (count := len(told.get("failed_parts", ()))) > 5:
        found.append(f"{'':13}failed: and {count - 5} more parts")
    return found


def _without_parts(verdict: Verdict) -> list[RuleResult]:
    """Return the results of a verdict that hold a version back, and do not say because of which parts."""
    return [
        r
        for r in verdict.results
        if r.status in {Status.FAILED, Status.ERROR} and not r.part_counts
    ]


def _unnamed(blocked: Blocked) -> str:
    """Return which rules hold a version back without saying because of which parts."""
    held, results = blocked.version.key.held, _without_parts(blocked.verdict)
    failed = ", ".join(repr(r.text) for r in results if r.status is Status.FAILED)
    errors = ", ".join(repr(r.text) for r in results if r.status is Status.ERROR)
    why = "; ".join(r.message for r in results if r.status is Status.FAILED and r.message)
    told = (
        [f"{failed} fails and does not say for which parts{f' ({why})' if why else ''}"]
        if failed
        else []
    )
    told += [f"{errors} cannot be judged"] if errors else []
    return (f"without {some_parts(held)}, " if held else "") + ", and ".join(told)


def _counted(failed: Sequence[Mapping[str, Any]], count: int) -> str:
    errors = sum(r["status"] == "error" for r in failed)
    if errors == len(failed):
        return f"{errors} of {count} rules could not be judged"
    return f"{len(failed) - errors} of {count} rules failed" + (
        f", {errors} could not be judged" if errors else ""
    )


def _readers(told: Mapping[str, Any]) -> str:
    readers = told.get("readers")
    if not readers:
        return "readers have nothing yet"
    if readers["version"] == told.get("version"):
        return "readers see it, and it would not pass any more"
    as_of = f" (as of {day(readers['data_as_of'])})" if readers.get("data_as_of") else ""
    return f"readers keep {short(readers['version'])}{as_of}"


def _affects(told: Mapping[str, Any]) -> list[str]:
    return [f"{'':13}affects: {clean(', '.join(told['affects']))}"] if told.get("affects") else []


def _rule_lines(told: Mapping[str, Any]) -> list[str]:
    found = []
    for rule in told.get("rules", ()):
        mark = {"warning": "warning: ", "error": "could not be judged: "}.get(rule["status"], "")
        said = f": {rule['message']}" if rule["message"] else ""
        found.append(f"{'':13}{mark}{clean(rule['text'])}{_measure(rule)}{clean(said)}")
        found += [f"{'':15}{row(sample)}" for sample in rule["samples"]]
        if rule.get("closes") and rule["status"] == "failed":
            meant = (
                f"products materialize {told['product']} --restate {told['product']} --because TEXT"
            )
            found.append(f"{'':15}if that is meant: {meant}")
        if rule["because"]:
            found.append(f"{'':15}because: {clean(rule['because'])}")
        if rule["owner"]:
            found.append(f"{'':15}owner: {clean(rule['owner'])}")
        if rule["status"] == "error" and rule.get("where"):
            found.append(f"{'':15}declared at {clean(rule['where'])}")
    return found


def _measure(rule: Mapping[str, Any]) -> str:
    """Return what a rule found beside what it allows."""
    allows = f" ({rule['threshold']})" if rule["threshold"] else ""
    if isinstance(rule["measured"], int | float):
        worst = f", the worst of {rule['failing']:,}" if (rule["failing"] or 0) > 1 else ""
        return (
            f": {_number(rule['measured'], percent=rule['threshold'].endswith('%'))}{worst}{allows}"
        )
    if rule["failing"] is None:
        return ""
    if rule["threshold"] and rule["parts"]:
        [worst, *_] = rule["parts"]
        share = f", {worst['failing'] / worst['rows']:.2%} of it" if worst["rows"] else ""
        return f": {_rows(worst['failing'])} in {worst['part']}{share}{allows}"
    share = f", {rule['failing'] / rule['rows']:.2%}" if allows and rule["rows"] else ""
    return f": {_rows(rule['failing'])}{share}{allows}"


def _rows(count: int) -> str:
    return f"{count:,} row{'s' if count != 1 else ''}"


def _number(value: float, *, percent: bool) -> str:
    return f"{value:.2%}" if percent else f"{value:,.4f}".rstrip("0").rstrip(".")


def row(sample: Mapping[str, Any], columns: int = 8) -> str:
    """Return a row of data on one line, safe to show on a terminal."""
    shown = [
        f"{clean(name)} {clean(_shown(value))[:60]}"
        for name, value in list(sample.items())[:columns]
    ]
    return "  ".join(shown) + ("  …" if len(sample) > columns else "")


def _shown(value: Any) -> str:
    return (
        str(value).lower() if isinstance(value, bool) else "null" if value is None else str(value)
    )


def day(moment: str) -> str:
    """Return a moment without its time of day when that is midnight."""
    return (
        moment[:10]
        if moment[10:].startswith("T00:00:00") or len(moment) == 10
        else moment[:16].replace("T", " ")
    )


def promise(freshness: Freshness | None) -> str:
    """Return a freshness window in words."""
    return str(freshness) if freshness else ""


def about(product: Product) -> dict[str, Any]:
    """Return what a product says of itself, as plain data."""
    return {
        "product": product.name,
        "kind": str(product.kind),
        "owner": product.owner,
        "purpose": product.purpose,
        "consumers": [
            {"name": c.name, "decides": c.decides, "contact": c.contact} for c in product.consumers
        ],
        "tags": list(product.tags),
        "freshness": promise(product.freshness),
        "event_time": product.event_time,
        "parts": parts_of(product),
        "release_group": product.release_group,
        "reads": list(product.reads),
        "retries": product.retries,
        "timeout_seconds": product.timeout,
        "isolate": product.isolate,
        "rules": [
            {"text": r.text, "severity": str(r.severity), "because": r.because}
            for r in product.contract.rules
        ],
        "where": str(product.where),
    }


def no_longer_declared(version: Version) -> str:
    """Return what a user should know of a published product that is no longer declared."""
    return f"no longer declared, readers still see {short(version.id)}: `products retire {version.product}` ends that"


def about_undeclared(version: Version) -> dict[str, Any]:
    """Return a published product that is no longer declared, as plain data."""
    return {"product": version.product, "declared": False, "readers": readers_see(version)}


def readers_see(version: Version) -> dict[str, Any]:
    """Return a version that readers see, as plain data."""
    told = {"version": version.id, "rows": version.rows if version.columns else None}
    held = {"held_parts": list(version.key.held)} if version.key.held else {}
    return {**told, **held, **_moment("data_as_of", version.data_as_of)}


def parts_of(product: Product) -> str:
    """Return what a product is split by, in words; '' for one that is not in parts."""
    if product.partition is None:
        return ""
    return f"by {shown(product.partition)}" + ("" if product.follows else ", cut")


def judged_rule(result: RuleResult, hide: Collection[str] = ()) -> dict[str, Any]:
    """Return a rule's result as plain data; values are hidden of columns that one of these patterns matches."""
    of = {name: _COMPARED.sub("", name) for sample in result.samples for name in sample}
    hidden = {name for name, column in of.items() if hide and secret([name, column], hide)}
    return {
        "text": result.text,
        "status": str(result.status),
        "severity": str(result.severity),
        "dimension": result.dimension,
        "because": result.because,
        "owner": result.owner,
        "failing": result.failing,
        "rows": result.rows,
        "measured": result.measured,
        "threshold": result.threshold,
        "how": result.how,
        "samples": [
            {n: HIDDEN if n in hidden else v for n, v in sample.items()}
            for sample in result.samples
        ],
        "message": result.message,
        "parts": [
            {"part": p.part, "failing": p.failing, "rows": p.rows} for p in result.part_counts
        ],
    }


def size(version: Version) -> str:
    """Return how much a version holds: rows of a table, bytes of a file."""
    rows = f"{version.rows:,} row{'s' if version.rows != 1 else ''}"
    return rows if version.columns else f"{version.bytes:,} bytes"


def _today(rule: Rule | None) -> dict[str, str]:
    if rule is None:
        return {}
    return {
        "because": rule.because,
        "owner": rule.owner,
        "dimension": rule.dimension,
        "where": str(rule.where),
        "closes": rule.closes,
    }


def _moment(name: str, moment: datetime | None) -> dict[str, str]:
    return {name: moment.isoformat()} if moment else {}
