"""The change record: what a run was, for an auditor to read."""
