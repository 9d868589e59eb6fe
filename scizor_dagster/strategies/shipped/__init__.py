"""The strategies that come along: one module each, called as the module.

What belongs here: rules with a source, in a few lines. What does not: advice; none of them is meant to earn anything.
"""
