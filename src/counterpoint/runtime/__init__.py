"""The engine: answers the calls of a script, and keeps its journal."""
