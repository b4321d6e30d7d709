"""What other systems have left of their work, as runs of ours that can be looked at."""
