"""The network's brain, without IO: the city, its state, its routes, who gets how much key, what went wrong and why.

No key bit ever comes here: reports hold counts, rates and names.
"""
