"""One run: its loop, its changes, its approvals, its waits, its watch over the ring, its facts."""
