"""Scripted callers in great number: what a server carries, how quickly it answers and yields, and what each call costs it.

One process drives hundreds of calls on one core: one timer for all of them, messages made ahead, and a WebSocket that is no more
than what the wire needs. It knows nothing of the server but its wire, so any Twilio Media Streams server can be called.
"""
