"""What is next: for a run by its state, for a person who says something, for a change by what was seen."""
