"""What agents remember between runs, as data: notes, their evidence, versions, rendering. No model is called here."""
