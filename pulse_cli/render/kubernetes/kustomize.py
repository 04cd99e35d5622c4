"""Kustomize's own files: what a component or an overlay is put together from."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from pulse_cli.render.jinja import fill
from pulse_cli.stack.model import Stack


@dataclass(frozen=True)
class Patch:
    """JSON patch operations (RFC 6902) on every object of a kind, or on the one of a name."""

    kind: str
    operations: Sequence[Mapping[str, object]]
    name: str | None = None


@dataclass(frozen=True)
class Generated:
    """A ConfigMap whose name ends with a digest of its content, so that pods follow changes."""

    files: Sequence[str] = ()
    envs: Sequence[str] = ()
    replaces: bool = field(default=False)
    """Whether an overlay below made one of that name."""


def component(
    stack: Stack,
    about: str,
    resources: Collection[str],
    maps: Mapping[str, Generated] | None = None,
    patches: Sequence[Patch] = (),
) -> str:
    """Return a component: what overlays may add to the base."""
    return _kustomization("Component", "v1alpha1", stack, about, resources, (), maps, patches)


def overlay(
    stack: Stack,
    about: str,
    resources: Collection[str],
    components: Collection[str],
    maps: Mapping[str, Generated],
    patches: Sequence[Patch] = (),
) -> str:
    """Return an overlay: what `kubectl apply -k` is given."""
    return _kustomization(
        "Kustomization", "v1beta1", stack, about, resources, components, maps, patches
    )


def _kustomization(
    kind: str,
    version: str,
    stack: Stack,
    about: str,
    resources: Collection[str],
    components: Collection[str],
    maps: Mapping[str, Generated] | None,
    patches: Sequence[Patch],
) -> str:
    return fill(
        "kubernetes/kustomization.yaml.j2",
        kind=kind,
        api=f"kustomize.config.k8s.io/{version}",
        about=about,
        resources=resources,
        components=[f"../../components/{name}" for name in components],
        maps=maps or {},
        patches=patches,
        k=stack.kubernetes,
    )
