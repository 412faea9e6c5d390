"""Facts cut down to the bounds of a message.

A server decides how much it presents, so facts may be larger than any message should be. What
does not fit becomes unknown, with a remark; texts for people are shortened. The verdict can only
get worse: INDETERMINATE where a chain was too large to be judged.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from otpc_policy.core.facts import (
    AddressFacts,
    DeepFacts,
    DeploymentFact,
    Evidence,
    Support,
    TraceStep,
)
from otpc_policy.measurement.limits import (
    MAX_CHAIN_BYTES,
    MAX_CHAIN_CERTIFICATES,
    MAX_CURVES,
    MAX_DEPLOYMENT_BYTES,
    MAX_DEPLOYMENTS,
    MAX_REMARKS,
    MAX_STAPLE_BYTES,
    MAX_TEXT_CHARACTERS,
    MAX_TRACE_CHARACTERS,
    MAX_TRACE_STEPS,
)

_TOO_LARGE = "what the server presents is too large to be judged; those certificates are unknown"
_ELLIPSIS = "..."


def fitted(facts: AddressFacts) -> AddressFacts:
    """Return the facts within every bound of limits; the same ones where they are already."""
    deployments = _fitted_deployments(facts.deployments)
    has_lost = any(one is not other for one, other in zip(deployments, facts.deployments))  # noqa: B905  # the fitted ones may be fewer
    remarks = (_TOO_LARGE, *facts.remarks) if has_lost else facts.remarks
    return replace(
        facts,
        deployments=deployments,
        remarks=fitted_texts(remarks),
        intolerances=fitted_texts(facts.intolerances),
        trace=_fitted_trace(facts.trace),
        deep=None if facts.deep is None else _fitted_deep(facts.deep),
    )


def fitted_text(text: str) -> str:
    """Return a text in printable ASCII, what is not being escaped, and cut to its bound."""
    if not (text.isascii() and text.isprintable()):
        text = text.encode("unicode_escape").decode("ascii")
    if len(text) > MAX_TEXT_CHARACTERS:
        text = text[: MAX_TEXT_CHARACTERS - len(_ELLIPSIS)] + _ELLIPSIS
    return text


def fitted_texts(texts: Sequence[str]) -> tuple[str, ...]:
    """Return the first texts, each cut; the last one says how many are missing."""
    kept = tuple(map(fitted_text, texts[:MAX_REMARKS]))
    if len(texts) <= MAX_REMARKS:
        return kept
    return (*kept[:-1], f"and {len(texts) - MAX_REMARKS + 1} more")


def _fitted_deployments(deployments: Sequence[DeploymentFact]) -> tuple[DeploymentFact, ...]:
    """Return each with its chain for as long as there is room, the others as unknown."""
    fitted_ones: list[DeploymentFact] = []
    carried: set[bytes] = set()
    room = MAX_DEPLOYMENT_BYTES
    for one in deployments:
        new = {certificate for certificate in one.chain if certificate not in carried}
        staple = one.stapled_ocsp_response or b""
        cost = sum(map(len, new)) + len(staple)
        fits = (
            len(one.chain) <= MAX_CHAIN_CERTIFICATES
            and sum(map(len, one.chain)) <= MAX_CHAIN_BYTES
            and len(staple) <= MAX_STAPLE_BYTES
            and cost <= room
        )
        if fits:
            carried |= new
            room -= cost
            fitted_ones.append(one)
        else:
            fitted_ones.append(_unknown(one))
    if len(fitted_ones) <= MAX_DEPLOYMENTS:
        return tuple(fitted_ones)
    # One unknown for each version and key type says of the rest what must be said.
    rest = {(one.version, one.key_type): _unknown(one) for one in fitted_ones}
    return (*fitted_ones[: MAX_DEPLOYMENTS - len(rest)], *rest.values())


def _unknown(one: DeploymentFact) -> DeploymentFact:
    return DeploymentFact(
        version=one.version,
        key_type=one.key_type,
        support=Support.UNKNOWN,
        evidence=Evidence.NONE,
    )


def _fitted_trace(trace: Sequence[TraceStep]) -> tuple[TraceStep, ...]:
    """Return the first steps. A text counts as often as it is another one than before."""
    kept: list[TraceStep] = []
    texts: set[str] = set()
    room = MAX_TRACE_CHARACTERS
    for step in trace[:MAX_TRACE_STEPS]:
        own = (step.purpose, step.offered, step.answer, step.proves)
        cut = tuple(map(fitted_text, own))
        new = set(cut) - texts
        room -= sum(map(len, new))
        if room < 0:
            break
        texts |= new
        kept.append(step if cut == own else _with_texts(step, cut))
    return tuple(kept)


def _with_texts(step: TraceStep, texts: Iterable[str]) -> TraceStep:
    purpose, offered, answer, proves = texts
    return replace(step, purpose=purpose, offered=offered, answer=answer, proves=proves)


def _fitted_deep(deep: DeepFacts) -> DeepFacts:
    return replace(
        deep,
        curves=tuple(
            replace(one, curve=fitted_text(one.curve)) for one in deep.curves[:MAX_CURVES]
        ),
        contradictions=fitted_texts(deep.contradictions),
        remarks=fitted_texts(deep.remarks),
    )
