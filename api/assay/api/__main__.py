"""`python -m assay.api` is the program `assay`."""

from assay.api.cli import main

main()
