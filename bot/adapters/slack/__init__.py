"""Slack: shows runs, and takes commands and clicks. It decides nothing."""
