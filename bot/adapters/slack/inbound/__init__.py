"""From Slack: the socket, slash commands, clicks, forms, and the answers to them."""
