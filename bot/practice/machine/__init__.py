"""A pretended machine: a disk, a small shell, and the commands that procedures use."""
