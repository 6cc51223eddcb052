"""What a node without python3 does in the agent's place: a POSIX shell script around tcpdump, ping and the like."""
