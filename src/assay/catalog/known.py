"""Which environments exist: those of the catalog, and the one of the settings."""

from assay.catalog.catalog import Catalog
from assay.config import Config, bad_environment
from assay.errors import UsageError
from assay.plan.names import nearest


def known_environments(catalog: Catalog, config: Config) -> list[str]:
    """Return the names of the environments that exist, sorted; the one of the settings always does."""
    return sorted({*catalog.environments.names(), config.environment})


def check_environment(catalog: Catalog, config: Config, name: str) -> None:
    """Raise UsageError, naming the nearest, if there is no environment of this name.

    The one of the settings always exists.
    """
    if name == config.environment:
        return
    names = known_environments(catalog, config)
    if name not in names:
        guess = nearest(name, names) or f"Environments: {', '.join(names)}."
        create = f" `products env create {name}` creates it." if not bad_environment(name) else ""
        raise UsageError(f"there is no environment {name}", hint=f"{guess}{create}")
