"""The catalogue of report formats, one module for each."""
