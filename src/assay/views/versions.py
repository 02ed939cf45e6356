"""Which version of a product is meant: published, held back, or one by its id."""

from collections.abc import Mapping

from assay.build.workspace import Workspace
from assay.catalog.versions import find_version
from assay.decisions import AwaitApproval, Blocked, Check, Decision, Held, Keep, Publish
from assay.errors import UsageError
from assay.facts import Version
from assay.plan.digests import key_of
from assay.views.published import published


def version_shown(
    workspace: Workspace,
    name: str,
    steps: Mapping[str, Decision],
    version_id: str | None,
    *,
    held: bool,
) -> Version:
    """Return the version with an id, the version that is held back, or the published version.

    Raises UsageError if there is none.
    """
    if held and version_id:
        raise UsageError("give --held or --version, not both")
    if held:
        return held_version(workspace, name, steps)
    if version_id:
        return find_version(workspace.catalog, name, version_id)
    return published(workspace.config, workspace.environment, names=[name]).version(name)


def held_version(workspace: Workspace, name: str, steps: Mapping[str, Decision]) -> Version:
    """Return the version that is held back, or awaits approval; if only parts are, the version that has all parts.

    Raises UsageError, with what to do next, if nothing of the product is held back.
    """
    end = steps[name]
    if isinstance(end, Publish | Keep) and end.version.key.held:
        key = end.version.key
        with_all_parts = key_of(key.code, key.inputs).digest
        return workspace.observe().facts.find(name, with_all_parts) or end.version
    if isinstance(end, Blocked | AwaitApproval):
        return end.version
    raise UsageError(f"no version of {name} is held back", hint=_instead(name, end, steps))


def _instead(name: str, end: Decision, steps: Mapping[str, Decision]) -> str:
    """Return what to do about a product of which nothing is held back."""
    match end:
        case Check():
            return "Its version is not judged as of now: `products materialize` judges it."
        case Publish():
            return "Its newest version passed: `products materialize` publishes it."
        case Keep():
            return f"Readers see its newest version: `products show {name}`."
        case Held(by=by):
            above = [each for each in by if isinstance(steps.get(each), Blocked | AwaitApproval)]
            if above:
                return f"It waits for what is held back: `products show {above[0]} --held`."
            return f"It waits for {', '.join(by)}: `products why {name}` says why."
    return f"It has to be built first: `products materialize {name}`."
