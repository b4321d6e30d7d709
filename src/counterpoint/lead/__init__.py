"""The lead: decides how a task is done, writes the script for it, says what it will cost, and talks to the user."""
