"""Kubectl, always told its context and namespace, and its failures as one sentence each."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pulse_cli.errors import ConfigError, MissingComponent, NotHealthy, PulseError, Unusable
from pulse_cli.stack.model import Stack

PROGRAM = "kubectl"
REQUEST_SECONDS = 20
"""How long the API server may take to answer one request."""

OWNER = ("--server-side", "--force-conflicts", "--field-manager=pulse")
"""How objects are applied."""

UNREACHABLE = re.compile(
    r"unable to connect to the server|couldn't get current server|was refused|no such host"
    r"|i/o timeout|handshake timeout|connection reset|network is unreachable|no route to host"
    r"|deadline exceeded|client\.timeout|x509|certificate|EOF$",
    re.IGNORECASE,
)
NOBODY = re.compile(r"unauthorized|must be logged in|provide credentials", re.IGNORECASE)
FORBIDDEN = re.compile(r"forbidden", re.IGNORECASE)
ADMISSION = re.compile(r"violates PodSecurity|exceeded quota|admission webhook|denied the request")
UNKNOWN_KIND = re.compile(r'no matches for kind "([^"]+)" in version "([^"]+)"')
OPERATORS = {
    "monitoring.coreos.com": "the Prometheus operator, or set kubernetes.monitoring = false",
    "external-secrets.io": "the External Secrets operator, or unset kubernetes.secret_store",
    "networking.istio.io": "Istio, or choose another kubernetes.overlay",
    "security.istio.io": "Istio, or choose another kubernetes.overlay",
}
"""Who defines the kinds that a cluster does not know by itself."""


def find() -> str:
    """Return kubectl's path. Raises `MissingComponent`."""
    found = shutil.which(PROGRAM)
    if found is None:
        raise MissingComponent(
            "kubectl is not installed; install 1.27 or later as "
            "https://kubernetes.io/docs/tasks/tools says, and give it access to a cluster"
        )
    return found


def current_context() -> str:
    """Return the context that kubectl would use by itself.

    Raises:
        MissingComponent: kubectl is not installed.
        ConfigError: there is none.
    """
    done = _run([find(), "config", "current-context"], None)
    if done.returncode != 0 or not done.stdout.strip():
        raise ConfigError(
            "kubectl knows no cluster: its current context is not set; name one of "
            "`kubectl config get-contexts` in kubernetes.context"
        )
    return done.stdout.strip()


def installed() -> tuple[str, str]:
    """Return kubectl's version, such as `v1.34.1`, and its path.

    Raises:
        MissingComponent: kubectl is not installed.
        Unusable: it does not run.
    """
    program = find()
    done = _run([program, "version", "--client", "--output=json"], None)
    if done.returncode != 0:
        raise Unusable(f"{program} does not run: {_first_line(done.stderr)}")
    return str(json.loads(done.stdout)["clientVersion"]["gitVersion"]), program


@dataclass(frozen=True)
class Kubectl:
    """One context and namespace; nothing here ever uses another."""

    context: str
    namespace: str

    @property
    def words(self) -> tuple[str, ...]:
        """What a command line starts with."""
        return (PROGRAM, f"--context={self.context}", f"--namespace={self.namespace}")

    def __str__(self) -> str:
        """Say it in the middle of a sentence."""
        return f"namespace {self.namespace} of context {self.context}"

    def run(self, *arguments: str, told: str | None = None) -> str:
        """Run kubectl and return what it prints.

        Args:
            arguments: after the context and the namespace.
            told: its standard input; secrets go this way alone.

        Raises:
            PulseError: one for each cause, in one sentence.
        """
        done = self._attempt(arguments, told)
        if done.returncode != 0:
            raise self.explained(done.stderr)
        return done.stdout

    def json(self, *arguments: str) -> Any:
        """Run kubectl and return the JSON that it prints."""
        return json.loads(self.run(*arguments, "--output=json"))

    def items(self, kinds: str, *arguments: str) -> list[dict[str, Any]]:
        """Return objects; none when there are none."""
        found: list[dict[str, Any]] = self.json("get", kinds, *arguments)["items"]
        return found

    def server_version(self) -> str:
        """Return the cluster's version, such as `v1.34.1`. Raises `PulseError`: out of reach."""
        return str(json.loads(self.run("get", "--raw", "/version")).get("gitVersion", "unknown"))

    def may(self, verb: str, kind: str) -> bool:
        """Whether it is allowed, also of a part such as `pods/exec`.

        Raises:
            PulseError: the cluster cannot be asked.
        """
        whole, _, part = kind.partition("/")
        return self.succeeds("auth", "can-i", verb, whole, f"--subresource={part}", "--quiet")

    def succeeds(self, *arguments: str) -> bool:
        """Whether a command succeeds. Raises `PulseError` when the cluster cannot be asked."""
        done = self._attempt(arguments, None)
        if done.returncode != 0 and (UNREACHABLE.search(done.stderr) or _no_context(done.stderr)):
            raise self.explained(done.stderr)
        return done.returncode == 0

    def stream(self, *arguments: str) -> Iterator[str]:
        """Yield the lines that a command prints, until it ends.

        Raises:
            NotHealthy: it failed; its own words are on stderr.
        """
        command = [find(), *self.words[1:], *arguments]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, errors="replace"
        ) as child:
            assert child.stdout is not None  # noqa: S101 - it is a pipe
            try:
                for line in child.stdout:
                    yield line.rstrip("\n")
                failed = child.wait()
            finally:
                child.terminate()
        if failed:
            raise NotHealthy(f"kubectl {arguments[0]} failed in {self}")

    def explained(self, stderr: str) -> PulseError:
        """Return what went wrong as one sentence."""
        said = _first_line(stderr)
        if _no_context(stderr):
            return ConfigError(
                f"kubectl has no context {self.context!r}; set kubernetes.context to one of "
                "`kubectl config get-contexts`"
            )
        unknown = UNKNOWN_KIND.search(stderr)
        if unknown is not None:
            group = unknown[2].partition("/")[0]
            operator = OPERATORS.get(group, "what defines it")
            return MissingComponent(
                f"the cluster of context {self.context} knows no {unknown[1]} ({unknown[2]}); "
                f"install {operator}"
            )
        refusals = (
            (ADMISSION, f"{self} refuses an object"),
            (NOBODY, f"the cluster of context {self.context} does not accept kubectl's log-in"),
            (FORBIDDEN, f"kubectl may not do this in {self}"),
            (UNREACHABLE, f"the cluster of context {self.context} is out of reach"),
        )
        for pattern, refusal in refusals:
            if pattern.search(stderr):
                return Unusable(f"{refusal}: {said}")
        return NotHealthy(f"kubectl failed in {self}: {said}")

    def _attempt(
        self, arguments: Sequence[str], told: str | None
    ) -> subprocess.CompletedProcess[str]:
        timeout = f"--request-timeout={REQUEST_SECONDS}s"
        return _run([find(), *self.words[1:], timeout, *arguments], told)


def kubectl_of(stack: Stack) -> Kubectl:
    """Return what reaches the place of a stack; by default the current context's."""
    k = stack.kubernetes
    return Kubectl(k.context if k.context is not None else current_context(), k.namespace)


def _run(command: Sequence[str], told: str | None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        input=told if told is not None else "",
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )


def _no_context(stderr: str) -> bool:
    return bool(re.search(r'context "[^"]*" does not exist|context was not found', stderr))


def _first_line(stderr: str) -> str:
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    told = [line for line in lines if not line.startswith(("Warning:", "W0", "E0", "I0"))]
    return re.sub(r"^error: |^Error from server \(\w+\): ", "", (told or lines or ["no reason"])[0])
