"""Several scores of a document as uncorrelated directions, and the best along them."""
