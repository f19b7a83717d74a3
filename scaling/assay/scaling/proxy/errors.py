"""What can go wrong with trainings of proxies, sorted by the remedy."""

from assay.scaling.errors import ScalingError
from assay.selectors.errors import BadInput, BadRequest

# Change the request ------------------------------------------------------------------


class MissingTorch(ScalingError, BadRequest):
    """Trainings need torch, which is an extra: pip install 'assay[proxy]'."""


class BadTraining(ScalingError, BadRequest):
    """A training cannot be carried out as asked."""


class NoAccelerator(BadTraining):
    """A GPU was asked for, and there is none."""


class TooLittleMemory(BadTraining):
    """The model and its optimiser do not fit into memory."""

    exit_code = 75


class ProcessEnded(BadTraining):
    """One of several processes of a training is gone."""

    exit_code = 75


class Diverged(BadTraining):
    """The loss is no longer a finite number."""

    exit_code = 1


class OtherStudy(ScalingError, BadRequest):
    """The output folder holds a different study, or a training of a different request."""


# Mend the data -----------------------------------------------------------------------


class TooFewTokens(ScalingError, BadInput):
    """There are fewer tokens than one batch holds."""


class LeakingTarget(ScalingError, BadInput):
    """Most of the target's text stands in the text that is trained on."""
