"""The terminal UI: looks at runs and asks things of them through `client`; executes nothing."""
