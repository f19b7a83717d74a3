"""What can go wrong between a table of runs and a piece of advice, sorted by the remedy."""

from assay.selectors.errors import AssayError, BadInput, BadRequest


class ScalingError(AssayError):
    """A scaling law cannot be fitted or used as asked."""


# Change the request ------------------------------------------------------------------


class UnknownLaw(ScalingError, BadRequest):
    """No law, or no published set of coefficients, has this name."""


class UnknownParameter(ScalingError, BadRequest):
    """The law has no parameter of this name."""


class BadFitSetting(ScalingError, BadRequest):
    """A setting of a fit has a value that it cannot take."""


class OutOfReach(ScalingError, BadRequest):
    """The question lies where no law can answer it."""


# Mend the data -----------------------------------------------------------------------


class BadRuns(ScalingError, BadInput):
    """The runs cannot be read as asked: mend or leave out what is named."""


class MissingRunColumn(BadRuns):
    """The table of runs has no column of this name."""


class BadValue(BadRuns):
    """A cell of the table is not a finite number in its range."""


class MixedConventions(BadRuns):
    """Runs that count parameters, tokens or loss in different ways cannot be fitted together."""


class TooFewRuns(BadRuns):
    """A law with k parameters needs more than k runs."""


class ConstantColumn(BadRuns):
    """An input that never changes cannot tell what it does."""


class Undetermined(BadRuns):
    """The runs do not determine the parameters of the law."""
