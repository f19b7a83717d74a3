"""Which users' sequences a recommender is tuned on: DEALRec (Lin et al. 2024, arXiv 2401.17197)."""
