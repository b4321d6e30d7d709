"""JavaScript, shut in: one child process per run that can only read lines and write lines."""
