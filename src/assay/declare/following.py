"""Which parts of its inputs a product in parts reads: all, or the same part and some before it."""

from msgspec.structs import replace

from assay.declare.implementations import Implementation
from assay.declare.names import Names
from assay.declare.partitions import Partitions, shown_each
from assay.declare.words import PartsDeclaration, ProductDeclaration
from assay.engines.sql.splitting import has_window
from assay.model import Input, Partition
from assay.plan.parts import contains_parts, fits_grain, partition_text


def followed_inputs(
    name: str,
    product: ProductDeclaration,
    implementation: Implementation,
    inputs: tuple[Input, ...],
    partitions: Partitions,
) -> tuple[Input, ...]:
    """Return the inputs of a product, each with how its parts are followed; report problems."""
    own = partitions.of(name)
    if own is None:
        _check_without_parts(name, product, partitions.names)
        return inputs
    following = _Following(name, product, implementation, own, partitions)
    following.check_each(inputs)
    return tuple(following.follow(input) for input in inputs)


def _check_without_parts(name: str, product: ProductDeclaration, names: Names) -> None:
    """Report the keywords of a product without parts that are for products in parts."""
    where = names.relative(product.where)
    for alias, declared in product.inputs.items():
        if isinstance(declared, PartsDeclaration):
            message = f"{name} follows the parts of {alias}, and is in no parts itself"
            names.report(message, where, "Give it each= or partition_by=.")
    if product.on_failed_part != "hold_product" and not (product.each or product.partition_by):
        names.report(f"{name}: on_failed_part= is for a product in parts", where)


class _Following:
    """How one product in parts follows its inputs; `own` is its partition."""

    def __init__(
        self,
        name: str,
        product: ProductDeclaration,
        implementation: Implementation,
        own: Partition,
        partitions: Partitions,
    ) -> None:
        self.name, self.product, self.implementation = name, product, implementation
        self.own, self.partitions = own, partitions
        self.each = partitions.followed_by(name, product)
        self.where = partitions.names.relative(product.where)

    def check_each(self, inputs: tuple[Input, ...]) -> None:
        """Report an `each=` that is no input."""
        if self.each and self.each not in {input.name for input in inputs}:
            self._report(f"{self.name}: each={shown_each(self.product)} is none of its inputs")

    def follow(self, input: Input) -> Input:
        """Return an input with the grain of its parts, if followed, and how many parts back."""
        theirs = self.partitions.of(input.name)
        if theirs and self.own.grain and theirs.names == self.own.names and not theirs.grain:
            self._report_no_date(input)
        declared = self.product.inputs.get(input.alias)
        if not isinstance(declared, PartsDeclaration):
            return self._follow_same_part(input, theirs)
        if declared.all:
            self._check_all(input, declared)
            return input
        if theirs is not None and self._may_follow(input, theirs, declared.back):
            return replace(input, grain=theirs.grain, back=declared.back)
        if theirs is None:
            message = f"{self.name}: parts() of {input.name}, which is in no parts"
            hint = "Give that partition_by=, each=, or a placeholder in its pattern."
            self._report(message, hint)
        return input

    def _follow_same_part(self, input: Input, theirs: Partition | None) -> Input:
        """Return an input without `parts()`: followed if it is split as the product is."""
        if theirs is None or not (input.name == self.each or contains_parts(self.own, theirs)):
            return input
        if self.own.in_rows and has_window(self.implementation.sql):
            message = (
                f"{self.name} looks at other rows (over ...),"
                f" and sees {input.name} part by part, by {partition_text(self.own)}"
            )
            hint = (
                f'Say which it needs: inputs={{"{input.alias}": parts(back=6)}},'
                " or parts() for its own alone."
            )
            self._report(message, hint)
        return replace(input, grain=theirs.grain)

    def _check_all(self, input: Input, declared: PartsDeclaration) -> None:
        if declared.back:
            self._report(f"{self.name}: parts(all=True) of {input.name} has no back=")
        if input.name == self.each:
            each = shown_each(self.product)
            self._report(f"{self.name}: each={each} is followed, so not all of it is seen")

    def _may_follow(self, input: Input, theirs: Partition, back: int) -> bool:
        """Return True if parts of an input, and `back` before each, can be followed, or report."""
        own, name = self.own, self.name
        column = own.names[0]
        same_columns = bool(own.grain) or own.names == theirs.names
        if not (fits_grain(theirs.grain, own.grain) and same_columns):
            message = (
                f"{name}: a part by {partition_text(own)} is not made of whole parts of {input.name},"
                f" which is by {partition_text(theirs)}"
            )
            self._report(message, f'If both are days, say so: partition_by="day({column})".')
            return False
        if back and not own.in_rows:
            message = f"{name}: parts(back={back}) needs rows that say of which part they are"
            hint = f"Write partition_by= instead of each={shown_each(self.product)}."
            self._report(message, hint)
            return False
        if back and not own.grain:
            message = (
                f"{name}: parts(back={back}) is for parts in time,"
                f" and nothing says that {partition_text(own)} is a date"
            )
            hint = f'Write {{{column}:date}} in the pattern, or partition_by="day({column})".'
            self._report(message, hint)
            return False
        return True

    def _report_no_date(self, input: Input) -> None:
        """Report an input that is split by the same column without declaring it as a date."""
        column = self.own.names[0]
        message = (
            f"{self.name} is by {partition_text(self.own)},"
            f" and nothing says that {column} of {input.name} is a date"
        )
        hint = (
            f'Write {{{column}:date}} in the pattern, partition_by="day({column})",'
            f" or give {input.name} a contract."
        )
        self._report(message, hint)

    def _report(self, message: str, hint: str = "") -> None:
        self.partitions.names.report(message, self.where, hint)
