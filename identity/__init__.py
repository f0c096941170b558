"""Who is asking, and how they prove it: keys, certificates, tokens, authentication, authorization.

Verification raises; nothing returns a flag that can be ignored. No token and no key stands in a log, a metric, an
event, an error or a repr.
"""
