"""Neutron's agents by the names that they have at a node. Source: kolla-ansible, ansible/roles/neutron/defaults/main.yml."""


def restart(*agents: str) -> str:
    """Give the command that restarts agents (``openvswitch``, ``dhcp``, ``l3``): that of systemd, and that for kolla's containers."""
    units, containers = (" ".join(f"neutron{dash}{agent}{dash}agent" for agent in agents) for dash in "-_")
    return f"systemctl restart {units} (kolla: docker restart {containers})"
