"""A Slack chat-ops bot that upgrades Dovecot backends; where to begin reading is in `bot/README.md`."""
