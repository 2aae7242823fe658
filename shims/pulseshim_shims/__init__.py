"""What events mean: pure functions from what a source saw to the messages that announce it."""
