"""The resources of the REST API, a file for each."""
