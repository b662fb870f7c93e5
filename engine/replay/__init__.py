"""Recording, reading and repeating calls. No asyncio, no provider, no clock."""
