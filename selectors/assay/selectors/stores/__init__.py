"""What is behind the verbs of storage.py: addresses, the two kinds of places, failures in words."""
