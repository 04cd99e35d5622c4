"""The Kubernetes package: a kustomize base, components, and the overlays made of them.

`kubectl apply -k kubernetes/overlays/<one>` is what they are for. No secret is in them: pods mount
Secrets that `pulse up --target kubernetes` or External Secrets make.
"""

from __future__ import annotations

from pulse_cli.render.kubernetes import base, components, overlays
from pulse_cli.stack.model import Stack


def files(stack: Stack) -> dict[str, str]:
    """Return the whole package.

    Raises:
        ConfigError: PostgreSQL has too few connections even for PgBouncer.
    """
    return {
        **{f"base/{path}": text for path, text in base.files(stack)},
        **{f"components/{path}": text for path, text in components.files(stack)},
        **{f"overlays/{path}": text for path, text in overlays.files(stack)},
    }
