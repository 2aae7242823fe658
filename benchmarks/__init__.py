"""The performance targets, each measured side by side with a peer."""
