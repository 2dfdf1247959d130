"""A local Slack for tests and `try`: the Web API and the socket that the bot uses, with Slack's limits."""
