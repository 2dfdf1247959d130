"""What the bot costs, each figure beside that of what people would use instead: see README.md."""
