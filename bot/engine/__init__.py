"""Does what the core decides, through ports; knows no Slack, SSH, database or scheduler."""
