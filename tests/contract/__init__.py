"""The recorded contract: what people and Pulse say to each other, for real and in the fake."""
