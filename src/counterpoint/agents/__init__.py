"""One agent: a task in, a result out."""
