"""How fast netchecks is: against testinfra, against bare ssh, against an empty pytest. ``python -m benchmarks``."""
