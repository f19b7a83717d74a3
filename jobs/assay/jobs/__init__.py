"""Durable work: who carries out the parts of a selection, and where."""
