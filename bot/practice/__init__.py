"""A pretend ring over real SSH and a local Slack: for `try`, and for the tests."""
