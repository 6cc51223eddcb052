"""The catalogue of report formats, one module for each; report.json itself is netchecks.report."""
