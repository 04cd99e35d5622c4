"""The table of what `pulse render` can render.

To add one, write a module beside this with a function `files(stack)` and add its line here.
What it returns must follow from the stack alone: no time, no chance, no secret, no file read but
its templates. Where a secret belongs, the text refers to the file or the variable that holds it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pulse_cli.render import compose, docker, envoy, kong, kubernetes, prometheus
from pulse_cli.stack.model import Stack

Files = Mapping[str, str]
"""Text by relative path (`/` between its parts), below the folder of the renderable's name."""

RENDERABLES: Mapping[str, Callable[[Stack], Files]] = {
    "kong": kong.files,
    "envoy": envoy.files,
    "compose": compose.files,
    "docker": docker.files,
    "docker-bench": docker.load_files,
    "kubernetes": kubernetes.files,
    "prometheus": prometheus.files,
}
"""What each renderable's files are."""
