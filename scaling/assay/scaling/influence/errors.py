"""What can go wrong with influence, sorted by the remedy."""

from assay.scaling.errors import ScalingError
from assay.selectors.errors import BadInput, BadRequest

# Change the request ------------------------------------------------------------------


class BadInfluence(ScalingError, BadRequest):
    """Influence cannot be computed as asked."""


class SolverDiverged(BadInfluence):
    """The series for the inverse Hessian grows instead of settling."""


class NotPositive(BadInfluence):
    """The Hessian with its ridge is not positive definite."""


class NoForwardMode(BadInfluence):
    """A kernel of the model has no forward derivative."""


class BudgetAboveCorpus(BadInfluence):
    """More documents are asked for than there are."""


# Mend the data -----------------------------------------------------------------------


class NotFinite(ScalingError, BadInput):
    """A gradient or a score is not a finite number."""


class BadSequences(ScalingError, BadInput):
    """A table of sequences or prompts cannot be read as asked."""


class IdsDoNotMatch(BadSequences):
    """Two tables that are joined by id have few ids in common."""


class TooFewItems(BadSequences):
    """A sequence needs two items: one to predict, and one before it."""


class EmptyAnswer(BadSequences):
    """A prompt without an answer has nothing that a model could find hard."""


class TooLittleTarget(ScalingError, BadInput):
    """The target holds too little text for the gradient of its loss."""
