"""One file per family of formats: how to survey a shard, read its text, and take its rows."""
