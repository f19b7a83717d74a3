"""The report beside the manifest: what was chosen, why, and what looks wrong about it."""
