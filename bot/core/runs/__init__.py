"""A run: its facts, the table of what may follow what, and the state that they fold to."""
