"""The outside world, one technology a module, each behind a port of the engine."""
