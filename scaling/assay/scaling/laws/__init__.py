"""One law a file. How to read or write one: law.py."""
