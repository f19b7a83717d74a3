"""The faces: command line and, later, HTTP. No decision is taken here."""
