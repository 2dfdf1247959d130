"""The pretended ring: directors, backends, mail users."""
