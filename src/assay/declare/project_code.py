"""The code of a project as digests: of functions, and of what modules do when they are imported."""

from functools import cache

from assay.config import Config
from assay.declare.dependencies import content_digests, from_root, package_versions
from assay.declare.effects import Effects
from assay.declare.imports import Local
from assay.declare.pycode import CodeDigest
from assay.declare.recalled_contracts import RecalledContracts
from assay.declare.words import ProductDeclaration
from assay.plan.digests import digest


class ProjectCode:
    """Starts the code digests of a project, which share what was read of its modules.

    `reads` is the digest of the files and variables that `reads` in pyproject.toml names ('' for
    none); `contracts` are those of earlier readings; `packages` are the versions of the installed packages that count as code.
    """

    def __init__(
        self, config: Config, local: Local, reads: str, contracts: RecalledContracts
    ) -> None:
        self.config, self.local, self.reads = config, local, reads
        self.contracts = contracts
        versions = package_versions(config)
        self.packages = {f"package {name}": version for name, version in versions.items()}
        self._read_by = cache(self._digest_of_reads)
        self._effects = Effects(local.tree_of, lambda: self.start_digest(registers=True))

    def start_digest(
        self, declared: ProductDeclaration | None = None, *, registers: bool = False
    ) -> CodeDigest:
        """Return an empty digest of code that belongs to the product `declared`."""
        return CodeDigest(
            tree_of=self.local.tree_of,
            load=self.local.load,
            origin=declared.where.file if declared else "",
            salt_of=self._read_by,
            fills_of=self.local.fills_of,
            modules_in=self.local.modules_in,
            registers=registers,
        )

    def import_effects(self, module: str) -> dict[str, str]:
        """Return the digests of what a module and its imports do to other modules when imported."""
        return self._effects.of(module)

    def _digest_of_reads(self, file: str) -> str:
        """Return the digest of what `reads` names and what the module in a file read on import."""
        paths = [from_root(self.config, path) for path in self.local.read_by(file)]
        return digest([self.reads, content_digests(self.config, paths)]) if paths else self.reads
