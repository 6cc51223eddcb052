"""netchecks/reading/net_tools.py: forms that the recorded outputs do not have, and what is refused."""

import pytest

from netchecks.errors import Unreadable
from netchecks.reading import net_tools

POINT = """\
tun0      Link encap:UNSPEC  HWaddr 00-00-00-00-00-00-00-00-00-00-00-00-00-00-00-00
          inet addr:10.8.0.6  P-t-P:10.8.0.5  Mask:255.255.255.255
          UP POINTOPOINT RUNNING NOARP MULTICAST  MTU:1500  Metric:1
"""
DOWN = """\
eth1: flags=4098<BROADCAST,MULTICAST>  mtu 9000
        ether 52:54:00:00:01:42  txqueuelen 1000  (Ethernet)
"""
REJECTED = "@4\nKernel IP routing table\nDestination Gateway Genmask Flags Metric Ref Use Iface\n10.9.0.0 - 255.255.0.0 !H 0 - 0 -\n\n@6\n"


def test_a_point_to_point_address_has_its_other_end():
    ((address,),) = net_tools.ifconfig_addresses(POINT).values()
    assert (str(address.address), str(address.peer)) == ("10.8.0.6/32", "10.8.0.5")
    assert net_tools.ifconfig_links(POINT)["tun0"].carrier


def test_a_device_that_is_down_has_no_carrier():
    link = net_tools.ifconfig_links(DOWN)["eth1"]
    assert (link.up, link.carrier, link.mtu, link.mac) == (False, False, 9000, "52:54:00:00:01:42")


def test_a_host_that_is_rejected_has_no_gateway():
    (route,) = net_tools.route_tables(REJECTED)
    assert (str(route.destination), route.kind, route.gateway, route.device) == ("10.9.0.0/16", "unreachable", None, "")


@pytest.mark.parametrize("text", [
    "eth0      Link encap:Ethernet\n          inet addr:10.0.0.1  Mask:255.0.255.0\n          UP  MTU:1500\n", "ifconfig: not found\n", "   inet 10.0.0.1\n",
])
def test_what_is_no_ifconfig(text):
    with pytest.raises(Unreadable):
        net_tools.ifconfig_addresses(text)


@pytest.mark.parametrize("text", [
    "", "@4\n", "@4\nroute: not found\n\n@6\n", REJECTED.replace("255.255.0.0", ""), REJECTED + "Destination Next\nfd20::/64 :: U\n",
])
def test_what_is_no_table_of_routes(text):
    with pytest.raises(Unreadable):
        net_tools.route_tables(text)
