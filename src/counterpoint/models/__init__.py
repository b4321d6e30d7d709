"""Language models behind one method: a request in, an answer out."""
