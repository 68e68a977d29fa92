"""Electrochemical impedance: read, judged by Kramers-Kronig, relaxation times, circuits with what they cannot tell.

Sign: a capacitive impedance has Im Z < 0. Time dependence exp(+j omega t).
"""
