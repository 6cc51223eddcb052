"""What OpenStack's API says is meant: ``netchecks inventory openstack`` asks for it by command on a host that may, once.

``asking`` runs the commands, ``documents`` reads what they print, ``deriving`` makes an inventory of it, ``writing`` its text.
"""
