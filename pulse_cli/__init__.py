"""The `pulse` command: provision the platform, check its health, seed it and measure it."""
