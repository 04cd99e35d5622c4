"""The commands of `pulse`, one light module per noun."""
