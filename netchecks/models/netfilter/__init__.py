"""Rule sets of iptables, ip6tables, arptables, ebtables and nftables, and the judgement of a packet against them."""

from netchecks.models.netfilter.path import (
    ACCEPTED,
    BridgeCalls,
    Firewall,
    Verdict,
    bridged_verdict,
    flow_verdict,
    local_verdict,
    routed_verdict,
)
from netchecks.models.netfilter.rules import Chain, Rule, Ruleset, RuleTable

__all__ = [
    "ACCEPTED", "BridgeCalls", "Chain", "Firewall", "Rule", "RuleTable", "Ruleset", "Verdict", "bridged_verdict",
    "flow_verdict", "local_verdict", "routed_verdict",
]
