"""Locust user classes and the load they offer."""
