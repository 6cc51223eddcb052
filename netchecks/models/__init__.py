"""The values that travel between the stages: frozen, typed, without behaviour of their own."""
