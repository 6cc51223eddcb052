"""DHCP: messages on the wire, what servers keep and say, and the verdict from all of it. Knows no platform."""
