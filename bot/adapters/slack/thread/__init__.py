"""To Slack: the thread of a run, written in order, each post once."""
