"""What the services share: functions, middlewares and plain objects, each needed by two of them."""
