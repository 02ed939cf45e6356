"""The line that shows how far a run is: how many products are done, and what it works on now."""

from assay.events import Event, Progress, Retrying, RunStarted, Settled, Working

_ACTIVITIES = {"build": "building", "judge": "checking"}
_FEW = 3  # products at work that are named


class Progressing:
    """Keeps what a run has done and does, from its events."""

    def __init__(self) -> None:
        self.done, self.of = 0, 0
        self.at_work: dict[str, str] = {}

    def update(self, event: Event) -> None:
        """Take in an event of the run."""
        match event:
            case RunStarted(products=products):
                self.of = max(self.of, self.done + products)
            case Working(product=product, activity=activity):
                self.at_work[product] = f"{_ACTIVITIES.get(activity, activity)} {product}"
            case Progress(product=product):
                self.at_work[product] = f"building {product} {_parts(event)}"
            case Retrying(product=product):
                self.at_work.pop(product, None)
            case Settled(results=results):
                self.done += len(results)
                for result in results:
                    self.at_work.pop(result.product, None)

    def text(self, width: int) -> str:
        """Return one line of up to `width` characters: "5/11 · building intake.orders 18/62 (~5 s)"."""
        shown = [f"{self.done:,}/{max(self.of, self.done):,}", *list(self.at_work.values())[-_FEW:]]
        more = len(self.at_work) - _FEW
        line = " · ".join(shown) + (f" · and {more} more" if more > 0 else "")
        return line if len(line) <= width else f"{line[: width - 1]}…"


def _parts(event: Progress) -> str:
    """Return how many parts are built, and an estimate of the time for the other parts."""
    missing = event.of - event.done
    seconds = event.seconds / event.done * missing
    estimate = f" (~{seconds:.0f} s)" if missing > 0 else ""
    return f"{event.done:,}/{event.of:,}{estimate}"
