"""Scripts as text: meta, positions, findings, and where saved workflows are."""
