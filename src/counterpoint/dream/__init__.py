"""Dreaming: what runs have taught becomes notes with checked evidence. Plain code; its agents are in ``dream.js``."""
