"""A small library for invoices: days, amounts, numerals, names, checks, tables. Python, to be ported."""
