"""The pure middle: what may happen, what it means, what is next. No I/O, no clock, no randomness."""
