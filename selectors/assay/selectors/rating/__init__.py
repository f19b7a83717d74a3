"""Ratings by a model: what is asked, of whom, what it costs, what is left behind."""
