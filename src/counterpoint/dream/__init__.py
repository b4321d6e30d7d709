"""Dreaming: what runs have taught is proposed as notes, with checked evidence. Plain code; the models' part is ``dream.js``."""
