"""What is kept: the journal of each run, and the index that everybody shares."""
