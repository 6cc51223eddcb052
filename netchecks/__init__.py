"""Network diagnosis as a pytest suite: from an inventory to a named cause."""

__version__ = "0.1.0"
