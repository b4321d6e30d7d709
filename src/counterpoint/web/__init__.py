"""The web page and its HTTP API: looks at runs and asks things of them through `client`; executes nothing."""
