"""Ways to carry a call. Each file translates one wire, and decides nothing."""
