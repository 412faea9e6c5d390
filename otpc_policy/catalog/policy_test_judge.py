"""Policy tests judged as checks are: with the partner's trust, expectations, waivers and policy beside the one that the test names."""

from dataclasses import replace

from otpc_policy.catalog.context import Catalog
from otpc_policy.catalog.policy_tests import CaseJudge, PolicyCase, judge_with
from otpc_policy.endpoint import parse_endpoint
from otpc_policy.policy.finding import Verdict
from otpc_policy.policy.model import Policy
from otpc_policy.policy.service_findings import denied


def judge_under(generation: Catalog) -> CaseJudge:
    """Return the judge of policy tests under a generation. Trust and agreement of the test itself go before those of the partner's entry."""

    def judge(case: PolicyCase, policy: Policy) -> Verdict:
        endpoint = parse_endpoint(case.facts.host, case.facts.port, case.facts.server_name)
        terms = generation.context_for(endpoint, policy.name)
        if (refusal := terms.refusal(endpoint)) is not None:
            return denied(refusal)
        if terms.partner is None:
            return judge_with(terms.trust)(case, policy)
        agreed = case.expected_client_auth or terms.partner.client_auth
        trust = replace(terms.trust, entries=(*case.trust, *terms.trust.entries))
        return replace(
            terms, partner=replace(terms.partner, client_auth=agreed), trust=trust
        ).evaluate(case.facts, case.at)

    return judge
