"""Parts of the screens, one a file: pure functions from the folds to lines of text."""
