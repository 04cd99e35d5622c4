"""The areas of the API: one module each, holding one builder per endpoint."""
