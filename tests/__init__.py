"""Tests: unit without processes, connected to real stores, e2e over the gateway."""
