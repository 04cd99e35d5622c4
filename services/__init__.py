"""The six services of the platform and the kit they share."""
