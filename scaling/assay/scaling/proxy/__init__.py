"""Small trainings that prove a selection. In scaling, torch is imported here and in influence."""

import os

# torch's threads on a CPU spin for milliseconds when they have nothing to do, in the way of those
# of our own kernels. Measured here on two processors, 1M model: 0.88 to 1.02 times the speed of a
# plain decoder with libgomp's own count, 1.02 to 1.12 with this one. Once torch is imported, it is
# too late.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")
