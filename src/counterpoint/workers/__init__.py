"""Where agents are carried out."""
