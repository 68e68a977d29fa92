"""Messages between two people under one-time pad, delivered once, also to somebody who is away now."""
